"""Keeps the processes of a plan running: starts, restarts what dies, waits for readiness, stops in order."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from launcher.embedded.process import EmbeddedServer, die_with_parent
from launcher.folder import DataFolder, RunningService
from launcher.plan import Service

ROOT = Path(__file__).resolve().parents[1]
POLL_SECONDS = 0.1
# A process that dies after a while is started again at once; one that dies again and again, more and more slowly.
RESTART_WAITS_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
STABLE_SECONDS = 20.0
READY_SECONDS = 60.0
DEATHS_BEFORE_READY_MAX = 4
STOP_SECONDS = 12.0  # a service stops itself within 10
EXIT_BAD_SETTINGS = 2
LOG_MAX_BYTES = 20 * 1024 * 1024
LOG_CHECK_SECONDS = 5.0
LOGS_KEPT = 3


class StartFailed(Exception):
    """A service never became ready; the message has the end of its log."""


@dataclass(slots=True)
class Child:
    """One supervised process and its history."""

    service: Service
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    quick_deaths: int = 0
    deaths: int = 0
    ready: bool = False
    last_exit_code: int | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(slots=True)
class Supervisor:
    """`report` is told, in words for people, what happens. Lives in the main thread: its children die with it."""

    folder: DataFolder
    report: Callable[[str], None]
    on_change: Callable[[], None]
    servers: Sequence[EmbeddedServer] = ()
    children: list[Child] = field(default_factory=list)

    def start(self, service: Service) -> None:
        """Add a service and start it."""
        child = Child(service)
        self.children.append(child)
        self._spawn(child)

    def running(self) -> tuple[RunningService, ...]:
        """For `status`."""
        return tuple(
            RunningService(
                child.service.instance, child.process.pid if child.process else 0, child.service.ops_port
            )
            for child in self.children
        )

    async def watch(self) -> None:
        """Runs until cancelled."""
        rotate_at = 0.0
        while True:
            self._look_after_servers()
            for child in self.children:
                self._look_after(child)
            if time.monotonic() >= rotate_at:
                rotate_logs(self.folder.logs)
                rotate_at = time.monotonic() + LOG_CHECK_SECONDS
            await asyncio.sleep(POLL_SECONDS)

    async def wait_ready(self) -> None:
        """Until every service answers /readyz with 200. Raises StartFailed."""
        deadline = time.monotonic() + READY_SECONDS
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
            while waiting := [child for child in self.children if not child.ready]:
                for child in waiting:
                    self._check_hope(child, late=time.monotonic() > deadline)
                    child.ready = child.is_running and await is_ready(session, child.service.ops_port)
                await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Edges first, then the rest; what does not end in time is killed."""
        for wave in (True, False):
            children = [
                child for child in self.children if child.service.is_edge is wave and child.is_running
            ]
            for child in children:
                assert child.process is not None
                child.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while any(child.is_running for child in children) and time.monotonic() < deadline:
                await asyncio.sleep(POLL_SECONDS / 2)
            for child in children:
                if child.is_running and child.process is not None:
                    self.report(f"{child.service.instance} did not stop in time and was killed")
                    child.process.kill()
                    child.process.wait()

    def _look_after(self, child: Child) -> None:
        if child.is_running:
            return
        if child.process is not None:
            self._bury(child)
        if time.monotonic() >= child.start_at:
            self._spawn(child)

    def _bury(self, child: Child) -> None:
        assert child.process is not None
        child.last_exit_code = child.process.returncode
        child.process = None
        child.deaths += 1
        lived_seconds = time.monotonic() - child.started_at
        child.quick_deaths = 0 if lived_seconds > STABLE_SECONDS else child.quick_deaths + 1
        wait = RESTART_WAITS_SECONDS[min(child.quick_deaths, len(RESTART_WAITS_SECONDS) - 1)]
        child.start_at = time.monotonic() + wait
        self.report(f"{child.service.instance} ended ({exit_words(child.last_exit_code)}); starting it again")

    def _spawn(self, child: Child) -> None:
        child.process = spawn(child.service, self.folder.log_file(child.service.instance))
        child.started_at = time.monotonic()
        self.on_change()

    def _check_hope(self, child: Child, *, late: bool) -> None:
        instance = child.service.instance
        if late:
            reason = f"{instance} was not ready within {READY_SECONDS:.0f} s"
        elif child.last_exit_code == EXIT_BAD_SETTINGS or child.deaths >= DEATHS_BEFORE_READY_MAX:
            reason = f"{instance} does not start ({exit_words(child.last_exit_code)})"
        else:
            return
        raise StartFailed(
            f"{reason}; the end of {self.folder.log_file(instance)}:\n{self.folder.log_tail(instance)}"
        )

    def _look_after_servers(self) -> None:
        for server in self.servers:
            if server.has_died():
                self.report(f"{server.name} ended ({exit_words(server.exit_code())}); starting it again")
                server.kill()
                server.start()


def spawn(service: Service, log_file: Path) -> subprocess.Popen[bytes]:
    """`python -m module`, its output appended to the log, killed by the kernel when we are gone."""
    with log_file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", service.module, *service.arguments],
            cwd=ROOT,
            env=environment_of(service),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for us, who then stop it in order
            preexec_fn=die_with_parent(signal.SIGKILL),
        )


def environment_of(service: Service) -> Mapping[str, str]:
    """Ours (so that LOG_LEVEL=DEBUG make run works), then the plan's."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **service.environment}


async def is_ready(session: aiohttp.ClientSession, ops_port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{ops_port}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def exit_words(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def rotate_logs(folder: Path) -> None:
    """Copy a log that has grown large aside and empty it. Its writers append, so they go on at the start."""
    for log in folder.glob("*.log"):
        if log.stat().st_size < LOG_MAX_BYTES:
            continue
        for number in range(LOGS_KEPT - 1, 0, -1):
            older = log.with_name(f"{log.name}.{number}")
            if older.exists():
                older.replace(log.with_name(f"{log.name}.{number + 1}"))
        kept = log.with_name(f"{log.name}.1")
        kept.write_bytes(log.read_bytes())
        os.truncate(log, 0)
