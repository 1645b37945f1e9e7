"""auth_service as a process of its own, started, stopped and disturbed from outside."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from runtime.grpc_client import call, open_channel
from runtime.ports import free_port
from tests.auth_service.support import PASSWORD, Points


def environment(database_url: str, order_grpc: str, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "DATABASE_URL": database_url,
        "ORDER_GRPC": order_grpc,
        "ARGON2_TIME_COST": "1",
        "ARGON2_MEMORY_KIB": "64",
        **changes,
    }


@dataclass(frozen=True, slots=True)
class Running:
    child: asyncio.subprocess.Process
    address: str
    ops_url: str

    async def is_ready(self) -> bool:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{self.ops_url}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

    async def wait_until_ready(self) -> None:
        async with asyncio.timeout(60):
            while not await self.is_ready():
                assert self.child.returncode is None, "auth_service ended"
                await asyncio.sleep(0.05)

    async def ask(self, method: str, request: Any) -> Any:
        async with open_channel(self.address) as channel:
            return await call(getattr(auth_pb2_grpc.AuthServiceStub(channel), method), request)


@asynccontextmanager
async def started(database_url: str, order_grpc: str, **changes: str) -> AsyncIterator[Running]:
    grpc_port, ops_port = free_port(), free_port()
    ports = {"GRPC_PORT": str(grpc_port), "OPS_PORT": str(ops_port)}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "auth_service", env=environment(database_url, order_grpc, **ports, **changes)
    )
    try:
        yield Running(child, f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{ops_port}")
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def create_admin(
    database_url: str, *arguments: str, stdin: str = "", **changes: str
) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "auth_service", "create-admin", *arguments,
        env=environment(database_url, "", **changes),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate(stdin.encode())
    assert child.returncode is not None
    return child.returncode, output.decode()


async def test_it_serves_until_told_to_stop_and_traces_what_it_changes(
    fresh_database: Any, points: Points, rows: Any
) -> None:
    async with started(fresh_database.url_for("pm_auth"), points.address) as auth:
        await auth.wait_until_ready()
        request = auth_pb2.RegisterRequest(email="ada@example.org", password=PASSWORD)
        answer = await auth.ask("Register", request)
        traces = await rows.fetch("SELECT trace_id FROM audit_log WHERE actor_id = $1", answer.user.user_id)
        assert len({row["trace_id"] for row in traces}) == 1
        assert len(traces[0]["trace_id"]) == 32
        auth.child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(auth.child.wait(), 20) == 0


async def test_it_comes_back_by_itself_after_a_restart_of_postgres(
    private_database: Any, points: Points
) -> None:
    async with started(private_database.url_for("pm_auth"), points.address) as auth:
        await auth.wait_until_ready()
        await auth.ask("Register", auth_pb2.RegisterRequest(email="ada@example.org", password=PASSWORD))
        private_database.server.kill()
        assert not await auth.is_ready()
        private_database.server.start()
        await auth.wait_until_ready()
        await auth.ask("LogIn", auth_pb2.LogInRequest(email="ada@example.org", password=PASSWORD))


async def test_an_open_session_survives_a_kill(fresh_database: Any, points: Points) -> None:
    url = fresh_database.url_for("pm_auth")
    async with started(url, points.address) as auth:
        await auth.wait_until_ready()
        request = auth_pb2.RegisterRequest(email="ada@example.org", password=PASSWORD)
        tokens = (await auth.ask("Register", request)).tokens
        auth.child.kill()
    async with started(url, points.address) as auth:
        await auth.wait_until_ready()
        refreshed = await auth.ask("Refresh", auth_pb2.RefreshRequest(refresh_token=tokens.refresh_token))
    assert refreshed.tokens.refresh_token not in ("", tokens.refresh_token)


@pytest.mark.parametrize("missing", ["DATABASE_URL", "ORDER_GRPC"])
async def test_a_missing_setting_is_named(fresh_database: Any, missing: str) -> None:
    variables = environment(fresh_database.url_for("pm_auth"), "127.0.0.1:1")
    del variables[missing]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "auth_service", env=variables, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 2
    assert missing in complaint.decode()


async def test_the_command_makes_one_admin_however_often_it_is_given(fresh_database: Any, rows: Any) -> None:
    url = fresh_database.url_for("pm_auth")
    by_settings = {"ADMIN_EMAIL": "root@example.org", "ADMIN_PASSWORD": PASSWORD}
    code, output = await create_admin(url, **by_settings)
    assert (code, output) == (0, "root@example.org is an administrator now.\n")
    code, output = await create_admin(url, "--email", "root@example.org", stdin="another Password 9\n")
    assert code == 0
    assert "already" in output
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'admin'") == 1


async def test_the_command_takes_the_password_from_standard_input_and_never_shows_it(
    fresh_database: Any, points: Points
) -> None:
    url = fresh_database.url_for("pm_auth")
    code, output = await create_admin(url, "--email", "root@example.org", stdin="a quiet Password 9\n")
    assert code == 0
    assert "quiet" not in output
    async with started(url, points.address) as auth:
        await auth.wait_until_ready()
        request = auth_pb2.LogInRequest(email="root@example.org", password="a quiet Password 9")
        answer = await auth.ask("LogIn", request)
    assert answer.user.role == auth_pb2.ROLE_ADMIN


@pytest.mark.parametrize("password", ["short", "admin1234", ""])
async def test_the_command_refuses_a_bad_password_in_words(fresh_database: Any, password: str) -> None:
    url = fresh_database.url_for("pm_auth")
    code, output = await create_admin(url, "--email", "root@example.org", stdin=password + "\n")
    assert code == 1
    assert output.startswith("password: ")
