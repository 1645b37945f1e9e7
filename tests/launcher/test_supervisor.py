"""The supervisor keeps real processes running, and ends them."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from launcher.folder import DataFolder, FolderInUse
from launcher.options import BadOption, RunOptions, parse_scale
from launcher.plan import Plan, Servers, Service, make_plan, preferred_shards
from launcher.supervisor import StartFailed, Supervisor, rotate_logs
from runtime.ports import free_port


def fake(instance: str, **environment: str) -> Service:
    ops_port = free_port()
    settings = {"INSTANCE": instance, "OPS_PORT": str(ops_port), **environment}
    return Service(instance, "tests.launcher.fake_service", ops_port, settings)


@asynccontextmanager
async def supervising(folder: Path, *services: Service) -> AsyncIterator[tuple[Supervisor, list[str]]]:
    words: list[str] = []
    data = DataFolder(folder)
    data.prepare()
    supervisor = Supervisor(folder=data, report=words.append, on_change=lambda: None)
    for service in services:
        supervisor.start(service)
    watching = asyncio.create_task(supervisor.watch())
    try:
        yield supervisor, words
    finally:
        watching.cancel()
        await asyncio.wait((watching,))
        await supervisor.stop()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)


async def test_a_killed_service_is_started_again_and_all_stop_together(tmp_path: Path) -> None:
    async with supervising(tmp_path, fake("a-1"), fake("a-2")) as (supervisor, words):
        await supervisor.wait_ready()
        first, second = (service.pid for service in supervisor.running())
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.running()[0].pid not in (0, first))
        supervisor.children[0].ready = False
        await supervisor.wait_ready()
        assert supervisor.running()[1].pid == second
        assert words == ["a-1 ended (killed by SIGKILL); starting it again"]
        pids = [service.pid for service in supervisor.running()]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def test_a_service_that_cannot_start_fails_the_run_with_its_log(tmp_path: Path) -> None:
    async with supervising(tmp_path, fake("bad-1", MODE="dies")) as (supervisor, _):
        with pytest.raises(StartFailed, match="bad-1 does not start"):
            await supervisor.wait_ready()


async def test_bad_settings_fail_the_run_at_once_and_are_named(tmp_path: Path) -> None:
    async with supervising(tmp_path, fake("bad-1", LOG_LEVEL="LOUD")) as (supervisor, _):
        with pytest.raises(StartFailed, match="LOG_LEVEL"):
            await supervisor.wait_ready()
        assert supervisor.children[0].deaths <= 2


def test_a_large_log_is_set_aside_and_goes_on_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.supervisor.LOG_MAX_BYTES", 10)
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        for round_number in range(6):
            writer.write(f"round {round_number}, long enough\n".encode())
            rotate_logs(tmp_path)
    assert log.read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert log.with_name("a.log.1").read_text().startswith("round 5")
    assert log.with_name("a.log.3").read_text().startswith("round 3")


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.prepare()
    first.lock()
    assert second.is_held()
    with pytest.raises(FolderInUse, match="running already"):
        second.lock()
    first.unlock()
    assert not second.is_held()
    second.lock()
    second.unlock()


def test_secrets_are_kept_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.secrets() == DataFolder(tmp_path).secrets()
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_database_keeps_its_number_of_shards(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.shards(4) == 4
    assert folder.shards(0) == 4
    with pytest.raises(BadOption, match="has 4 shards"):
        folder.shards(2)


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(BadOption, match="DATA="):
        DataFolder(file / "data").prepare()


@pytest.mark.parametrize(
    "text",
    [
        "web=2",
        "ws_service",
        "ws_service=",
        "ws_service=0",
        "ws_service=9",
        "order_service=-1",
        "ws_service=x",
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="SCALE"):
        parse_scale(text)


def test_a_scale_names_processes() -> None:
    assert parse_scale("ws_service=2 order_service=3") == {"ws_service": 2, "order_service": 3}
    assert parse_scale(" ") == {}


@pytest.mark.parametrize(("port", "traders"), [(0, 0), (65_536, 0), (8080, -1), (8080, 501)])
def test_options_out_of_range_are_refused(port: int, traders: int) -> None:
    with pytest.raises(BadOption):
        options(port=port, traders=traders)


def test_every_shard_is_preferred_by_exactly_one_process() -> None:
    for shards in range(1, 9):
        for processes in range(1, 5):
            texts = [preferred_shards(number, processes, shards) for number in range(processes)]
            chosen = [int(shard) for text in texts for shard in text.split(",") if shard]
            assert sorted(chosen) == list(range(shards))


def test_each_process_has_its_own_ports_and_its_own_role() -> None:
    plan = planned(scale={"order_service": 2, "ws_service": 2})
    assert [service.instance for service in plan.services] == [
        "db_service-1",
        "order_service-1",
        "order_service-2",
        "auth_service-1",
        "market_service-1",
        "analytics-1",
        "ws_service-1",
        "ws_service-2",
        "api_gateway-1",
    ]
    names = ("OPS_PORT", "GRPC_PORT", "HTTP_PORT")
    ports = [
        service.environment[name]
        for service in plan.services
        for name in names
        if name in service.environment
    ]
    assert len(ports) == len(set(ports))
    urls = {service.module: service.environment.get("DATABASE_URL") for service in plan.services}
    assert urls == {
        "db_service": "pg://pm_db",
        "order_service": "pg://pm_order",
        "auth_service": "pg://pm_auth",
        "market_service": "pg://pm_market",
        "analytics": "pg://pm_analytics",
        "ws_service": None,
        "api_gateway": None,
    }
    order_addresses = {service.environment["ORDER_GRPC"] for service in plan.services}
    assert [address.count(",") for address in order_addresses] == [1]


def options(**changes: object) -> RunOptions:
    values: dict[str, object] = {
        "port": 8080,
        "data": Path("data"),
        "scale": {},
        "demo": False,
        "traders": 0,
        "kafka": False,
        "shards": 2,
        "admin_email": "admin@example.com",
        "admin_password": None,
        **changes,
    }
    return RunOptions(**values)  # type: ignore[arg-type]


def planned(**changes: object) -> Plan:
    servers = Servers(
        lambda role: f"pg://{role}", "nats://x", "redis://x", "", "mail", "secret", "clickhouse"
    )
    return make_plan(options(**changes), servers, free_port, [8081, 8082])
