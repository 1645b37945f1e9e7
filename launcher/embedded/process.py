"""A child process that never outlives its parent, and the base of the embedded servers."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from launcher.embedded.unprivileged import Account
from runtime.ports import free_port

START_ATTEMPTS_MAX = 5
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
LOG_TAIL_BYTES = 2_000

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec only calls into it are made.
_LIBC = ctypes.CDLL(None, use_errno=True)


class Identity(TypedDict):
    """Whom `subprocess` starts a program as; None is ourselves."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


class ServerError(Exception):
    """A server could not be started; the message says what to do about it."""


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends the signal to the child when the thread that started it ends.

    Set after a change of user, because that change clears it (subprocess calls `preexec_fn` last).
    """
    parent_pid = os.getpid()

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(1)

    return prepare


class EmbeddedServer:
    """One server process: a subclass says how to start it and when it is ready."""

    name = "server"
    stop_signal = signal.SIGTERM
    account: Account | None = None
    ready_seconds = READY_SECONDS

    def __init__(self, *, port: int | None, log_path: Path) -> None:
        self._fixed_port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port or 0
        self.log_path = log_path

    def command(self) -> Sequence[str]:
        """The program and its arguments, for the current port."""
        raise AssertionError("each server has its own command")

    def is_ready(self) -> bool:
        """Whether the process just started answers."""
        raise AssertionError("each server has its own readiness")

    def choose_port(self) -> int:
        """A free port, kept over restarts so that clients find the server again."""
        return free_port()

    def start(self) -> None:
        """Start and wait until it answers. Raises ServerError with the end of its log."""
        assert self._process is None, f"{self.name} runs already"
        keep_port = bool(self.port)
        for attempt in range(START_ATTEMPTS_MAX):
            if not keep_port:
                self.port = self.choose_port()
            if self._start_once():
                return
            if keep_port:
                break
            time.sleep(0.1 * attempt)
        if not keep_port:
            self.port = 0
        raise ServerError(f"{self.name} did not start; the end of {self.log_path}:\n{self._log_tail()}")

    def stop(self) -> None:
        """Ask it to end, insist after 10 s. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def has_died(self) -> bool:
        """True when it was started and ended by itself."""
        return self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def _start_once(self) -> bool:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,  # a Ctrl-C is for the parent, which then stops us in order
                preexec_fn=die_with_parent(self.stop_signal),
                **identity(self.account),
            )
        deadline = time.monotonic() + self.ready_seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.is_ready():
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        return False

    def _log_tail(self) -> str:
        if not self.log_path.exists():
            return "(no log)"
        return self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def identity(account: Account | None) -> Identity:
    """The arguments by which `subprocess` starts a program as that account."""
    if account is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}
