"""`make run` as a person meets it: one real run on free ports, with all services."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

from launcher.folder import DataFolder, RunState
from launcher.supervisor import ROOT
from runtime.ports import free_port
from tests.servers import new_folder

READY_SECONDS = 90.0
STOP_SECONDS = 60.0
MAKES_OWN = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS")


class Run:
    """One `python -m launcher run` on a folder."""

    def __init__(self, data: Path, **options: str) -> None:
        self.data = data
        self.folder = DataFolder(data)
        self.port = free_port()
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.output = data.parent / f"output-{time.time_ns()}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "launcher",
                    "run",
                    "--port",
                    str(self.port),
                    "--data",
                    str(data),
                    *arguments,
                ],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def printed(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while "Ctrl-C stops everything" not in self.printed():
            assert self.process.poll() is None, self.printed()
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.1)

    def state(self) -> RunState:
        state = self.folder.state()
        assert state is not None
        return state

    def processes(self) -> list[psutil.Process]:
        """Everything that was started: servers, services, their children."""
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


def launcher(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


def get(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def still_running(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that live (zombies do not) after so long."""
    deadline = time.monotonic() + seconds
    while True:
        living = [process for process in processes if process.is_running() and _lives(process)]
        if not living or time.monotonic() > deadline:
            return living
        time.sleep(0.1)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    parent = new_folder()
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def run(data: Path) -> Iterator[Run]:
    run = Run(data)
    run.wait_ready()
    yield run
    run.end(signal.SIGINT)


def test_it_says_what_is_where_and_shows_the_password_once(run: Run) -> None:
    printed = run.printed()
    admin = run.folder.admin()
    assert admin is not None
    assert f"http://127.0.0.1:{run.port}/v1" in printed
    assert run.state().ws_url in printed
    assert admin.password in printed
    assert run.folder.admin_file.stat().st_mode & 0o077 == 0


def test_demo_markets_are_open_to_everybody(run: Run) -> None:
    items = get(f"http://127.0.0.1:{run.port}/v1/markets")["items"]
    assert {item["status"] for item in items} == {"ACTIVE"}
    assert len(items) == 3


def test_status_shows_every_process_ready(run: Run) -> None:
    done = launcher("status", "--data", str(run.data))
    assert done.returncode == 0, done.stdout
    for name in ("db_service-1", "order_service-1", "auth_service-1", "ws_service-1", "api_gateway-1"):
        assert name in done.stdout
    assert "no" not in done.stdout.split()


def test_a_second_run_on_the_folder_is_refused(run: Run) -> None:
    done = launcher("run", "--port", str(free_port()), "--data", str(run.data))
    assert done.returncode == 1
    assert "running already" in done.stdout
    assert run.process.poll() is None


def test_a_port_in_use_is_named(run: Run) -> None:
    done = launcher("run", "--port", str(run.port), "--data", str(run.data.parent / "other"))
    assert done.returncode == 1
    assert f"port {run.port} is in use" in done.stdout
    assert not (run.data.parent / "other").exists()


def test_the_ledger_verifies_while_it_runs(run: Run) -> None:
    done = launcher("verify", "--data", str(run.data))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_steps_of_the_readme_run_as_printed(run: Run) -> None:
    section = (ROOT / "README.md").read_text().split("## Try it")[1].split("### ")[0]
    [script] = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    # The address and the folder are this run's; all else is as it stands.
    script = script.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{run.port}")
    script = script.replace(".data/admin.json", str(run.folder.admin_file))
    script = script.replace("make verify", f"make verify DATA={run.data}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # What the make that runs the tests was told is not meant for the script's.
    environment = {name: value for name, value in os.environ.items() if name not in MAKES_OWN}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, "PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ('"status":"OPEN"', '"status":"FILLED"', '"venue":"POOL"', '"venue":"BOOK"', '"asks":'):
        assert text in done.stdout, text
    assert '"code"' not in done.stdout


def test_the_command_line_lists_the_markets(run: Run) -> None:
    done = launcher("markets", "--data", str(run.data))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ACTIVE" in done.stdout


@pytest.mark.parametrize(
    "module", ["order_service", "auth_service", "api_gateway", "market_service", "ws_service", "db_service"]
)
def test_a_killed_service_is_back(run: Run, module: str) -> None:
    before = {service.instance: service.pid for service in run.state().services}
    instance = f"{module}-1"
    os.kill(before[instance], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        now = {service.instance: service for service in run.state().services}
        if now[instance].pid not in (0, before[instance]) and _is_ready(now[instance].ops_port):
            break
        assert time.monotonic() < deadline, run.printed()
        time.sleep(0.1)
    others = {name: service.pid for name, service in now.items() if name != instance}
    assert others == {name: pid for name, pid in before.items() if name != instance}
    assert f"{instance} ended (killed by SIGKILL)" in run.printed()


def market_ids(run: Run) -> set[str]:
    return {each["market_id"] for each in get(f"http://127.0.0.1:{run.port}/v1/markets")["items"]}


def test_ctrl_c_leaves_nothing_and_the_data_stays(run: Run) -> None:
    processes, markets = run.processes(), market_ids(run)
    assert len(processes) >= 10
    assert run.end(signal.SIGINT) == 0, run.printed()
    assert still_running(processes, 1) == []
    assert launcher("verify", "--data", str(run.data)).returncode == 0
    assert "nothing runs" in launcher("status", "--data", str(run.data)).stdout

    again = Run(run.data, scale="order_service=2 market_service=2 ws_service=2", traders="2")
    again.wait_ready()
    admin = again.folder.admin()
    assert admin is not None
    assert admin.password not in again.printed()
    assert market_ids(again) == markets
    assert {"order_service-2", "market_service-2", "ws_service-2", "traders"} <= {
        service.instance for service in again.state().services
    }
    processes = again.processes()
    assert launcher("stop", "--data", str(run.data)).returncode == 0
    assert again.process.wait(STOP_SECONDS) == 0
    assert still_running(processes, 1) == []


def test_a_killed_launcher_leaves_no_process_behind(run: Run) -> None:
    third = Run(run.data, demo="0")
    third.wait_ready()
    processes = third.processes()
    third.process.kill()
    third.process.wait()
    assert still_running(processes, 20) == []


def test_reset_deletes_the_data(run: Run) -> None:
    assert launcher("reset", "--data", str(run.data)).returncode == 0
    assert not run.data.exists()


def _is_ready(ops_port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{ops_port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
