"""The embedded servers are real, durable, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import nats
import psutil
import pytest
from redis.asyncio import Redis

from launcher.embedded import NatsServer, PostgresServer, RedisServer
from launcher.embedded.unprivileged import Account, may_pass, reachable_copy, reachable_folder

PARENT = """
import pathlib, sys, time
from launcher.embedded import NatsServer, PostgresServer, RedisServer
folder = pathlib.Path(sys.argv[1])
servers = [PostgresServer(folder / "postgres"), NatsServer(folder / "nats"), RedisServer(folder / "redis")]
for server in servers:
    server.start()
print(*(server.pid for server in servers), flush=True)
time.sleep(600)
"""


async def test_postgres_is_durable_and_asks_for_passwords(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await connection.fetchval(f"SHOW {setting}") == "on"
    assert await connection.fetchval("SHOW data_directory") == str(postgres.data_dir)
    await connection.close()
    wrong = postgres.url_for("postgres", "pm_order").replace(postgres.password_for("pm_order"), "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_a_role_cannot_log_in_with_anothers_password(postgres: PostgresServer) -> None:
    mixed = postgres.url_for("postgres", "pm_owner").replace(
        postgres.password_for("pm_owner"), postgres.password_for("pm_order")
    )
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(mixed)


def test_a_killed_postgres_comes_back_on_its_port_with_what_was_committed(private_folder: Path) -> None:
    server = PostgresServer(private_folder / "postgres")
    server.start()
    port = server.port
    asyncio.run(_execute(server.url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)"))
    server.kill()
    server.start()
    assert server.port == port
    assert asyncio.run(_value(server.url, "SELECT n FROM kept")) == 7
    server.stop()
    server.delete()


def test_a_stale_pid_file_of_another_program_does_not_stop_postgres(private_folder: Path) -> None:
    server = PostgresServer(private_folder / "postgres")
    server.start()
    server.kill()
    pid_file = server.data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    server.start()
    assert asyncio.run(_value(server.url, "SELECT 1")) == 1
    server.stop()
    server.delete()


async def test_nats_keeps_a_stream_over_a_kill(private_nats: NatsServer) -> None:
    client = await nats.connect(private_nats.url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept.>"])
    await stream.publish("kept.one", b"1")
    await client.close()
    private_nats.kill()
    private_nats.start()
    client = await nats.connect(private_nats.url)
    assert (await client.jetstream().stream_info("KEPT")).state.messages == 1
    await client.close()


async def test_redis_answers_and_a_restart_is_empty(private_redis: RedisServer) -> None:
    async with Redis.from_url(private_redis.url) as client:
        await client.set("a", 1)
    private_redis.stop()
    private_redis.start()
    async with Redis.from_url(private_redis.url) as client:
        assert await client.get("a") is None


def test_no_server_outlives_a_killed_parent(private_folder: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(private_folder)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(part) for part in parent.stdout.readline().split()]
    assert len(pids) == 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if _runs(pid)]


def test_data_below_a_private_folder_is_placed_where_the_account_can_go(tmp_path: Path) -> None:
    stranger = Account("stranger", 54321, 54321)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = private.stat().st_mode
    placed = reachable_folder(private / "data", stranger)
    assert placed != private / "data"
    assert placed == reachable_folder(private / "data", stranger)
    assert not may_pass(private, stranger)
    assert private.stat().st_mode == before
    assert reachable_folder(private / "data", None) == private / "data"


def test_programs_below_a_private_folder_are_copied_once_with_their_libraries(
    tmp_path: Path, private_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.embedded.unprivileged.FALLBACK_ROOT", private_folder / "copies")
    packages = tmp_path / "packages"
    for part in ("server/bin", "server.libs"):
        (packages / part).mkdir(parents=True)
    program, library = packages / "server/bin/run", packages / "server.libs/lib.so"
    program.touch(mode=0o700)
    library.touch(mode=0o600)
    tmp_path.chmod(0o700)
    account = Account("stranger", 54321, 54321)

    copy = reachable_copy(packages, ("server", "server.libs"), "server-1", account)

    assert copy == private_folder / "copies/server-1"
    assert (copy / "server/bin/run").stat().st_mode & 0o777 == 0o755
    assert (copy / "server.libs/lib.so").stat().st_mode & 0o777 == 0o644
    assert may_pass(copy / "server/bin", account)
    assert program.stat().st_mode & 0o777 == 0o700
    program.unlink()
    assert reachable_copy(packages, ("server", "server.libs"), "server-1", account) == copy
    assert reachable_copy(packages, ("server", "server.libs"), "server-1", None) == packages


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
