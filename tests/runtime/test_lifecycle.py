"""A process starts, says when it is ready, and ends in order."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from launcher.embedded import NatsServer, PostgresServer
from runtime.bus import ensure_stream, open_bus
from runtime.ports import free_port
from runtime.postgres import answers, connect, open_pool

SERVICE = """
import asyncio
from contextlib import asynccontextmanager
from runtime.lifecycle import Process, run_service
from runtime.settings import ServiceSettings

class Settings(ServiceSettings):
    mode: str
    count: int = 1

@asynccontextmanager
async def part(name):
    print("open", name, flush=True)
    yield
    print("close", name, flush=True)

async def fail_soon():
    await asyncio.sleep(0.3)
    raise RuntimeError("lost")

async def serve(process, settings):
    await process.enter(part("a"))
    if settings.mode == "start":
        raise RuntimeError("cannot")
    if settings.mode == "wait":
        await asyncio.sleep(3600)
    await process.enter(part("b"))
    if settings.mode == "task":
        process.spawn(fail_soon(), name="worker")
    if settings.mode == "unready":
        async def no(): raise OSError
        process.ready_when("thing", no)

run_service("demo", Settings, serve)
"""


class Child:
    def __init__(self, mode: str | None, **environment: str) -> None:
        self.ops_port = free_port()
        settings = {"OPS_PORT": str(self.ops_port), **({"MODE": mode} if mode else {}), **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVICE],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path: str) -> tuple[int, str]:
        """Status and body, once it listens."""
        deadline = time.monotonic() + 20
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{self.ops_port}{path}", timeout=5) as answer:
                    return answer.status, answer.read().decode()
            except HTTPError as error:
                return error.code, error.read().decode()
            except URLError:
                assert time.monotonic() < deadline, self.process.stderr
                time.sleep(0.05)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 20
        while self.get("/readyz")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_everything_in_reverse_order_and_exits_0(number: signal.Signals) -> None:
    child = Child("plain")
    child.wait_ready()
    assert child.get("/healthz")[0] == 200
    assert "event_loop_lag_seconds" in child.get("/metrics")[1]
    assert child.get("/other")[0] == 404
    child.process.send_signal(number)
    code, out, _ = child.end()
    marks = [line for line in out.splitlines() if line.startswith(("open", "close"))]
    assert marks == ["open a", "open b", "close b", "close a"]
    assert code == 0


def test_a_start_that_waits_can_be_ended() -> None:
    child = Child("wait")
    assert child.get("/readyz")[0] == 503
    child.process.send_signal(signal.SIGTERM)
    code, out, _ = child.end()
    assert code == 0
    assert "close a" in out


@pytest.mark.parametrize("mode", ["start", "task"])
def test_a_failure_closes_everything_and_exits_1(mode: str) -> None:
    code, out, _ = Child(mode).end()
    assert code == 1
    assert "close a" in out
    assert '"level":"error"' in out


def test_a_failing_check_is_not_ready() -> None:
    child = Child("unready")
    while json.loads(child.get("/readyz")[1])["checks"] != {"thing": False}:
        time.sleep(0.05)
    assert child.get("/readyz")[0] == 503
    assert child.get("/healthz")[0] == 200
    child.process.terminate()
    assert child.end()[0] == 0


def test_bad_settings_are_named_without_their_values() -> None:
    code, _, err = Child(None, COUNT="hunter2").end()
    assert code == 2
    assert "MODE" in err
    assert "COUNT" in err
    assert "hunter2" not in err


@pytest.fixture
def stopped_postgres(private_folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(private_folder / "postgres")
    server.start()
    server.stop()
    yield server
    server.stop()


async def test_a_pool_waits_for_a_server_that_comes_later(stopped_postgres: PostgresServer) -> None:
    async with asyncio.timeout(20):
        opening = asyncio.ensure_future(_ask(stopped_postgres.url))
        await asyncio.sleep(0.3)
        assert not opening.done()
        with pytest.raises(OSError):
            await connect(stopped_postgres.url, name="test", wait=False)
        await _start_here(stopped_postgres)
        assert await opening


async def test_the_bus_waits_for_a_server_that_comes_later_and_streams_can_change(
    private_nats: NatsServer,
) -> None:
    private_nats.stop()
    async with asyncio.timeout(20):
        opening = asyncio.ensure_future(_make_streams(private_nats.url))
        await asyncio.sleep(0.3)
        assert not opening.done()
        with pytest.raises(TimeoutError):
            await _make_streams(private_nats.url, wait=False)
        private_nats.start()
        assert await opening == ["a.>", "b.>"]


async def _start_here(server: PostgresServer) -> None:
    # Its first start made the roles, so that starting it again runs no loop of its own.
    server.start()


async def _ask(url: str) -> bool:
    async with open_pool(url, name="test") as pool:
        return await answers(pool)


async def _make_streams(url: str, *, wait: bool = True) -> list[str]:
    from nats.js.api import StreamConfig

    async with open_bus(url, name="test", wait=wait) as bus:
        stream = bus.jetstream()
        await ensure_stream(stream, StreamConfig(name="S", subjects=["a.>"]))
        await ensure_stream(stream, StreamConfig(name="S", subjects=["a.>", "b.>"]))
        return (await stream.stream_info("S")).config.subjects or []
