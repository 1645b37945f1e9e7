"""Fixtures: a running auth_service on a real, migrated database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.auth_service.support import Auth, Points, run_auth, serve_points

StartAuth = Callable[..., Awaitable[Auth]]


@pytest.fixture
async def start_auth(fresh_database: Any, points: Points, tmp_path: Path) -> AsyncIterator[StartAuth]:
    """Starts one auth_service more on the test's database, with settings of its own."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Auth:
            order_grpc = changes.pop("order_grpc", points.address)
            fields = {"mail_folder": tmp_path / "mail", **changes}
            service = run_auth(fresh_database.url_for("pm_auth"), order_grpc, **fields)
            return await stack.enter_async_context(service)

        yield start


@pytest.fixture
async def points() -> AsyncIterator[Points]:
    async with serve_points(Points()) as running:
        yield running


@pytest.fixture
async def auth(start_auth: StartAuth, points: Points) -> Auth:
    service = await start_auth()
    points.verifier = service.verifier
    return service


@pytest.fixture
async def rows(fresh_database: Any) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The database as nobody but a test may see it."""
    connection = await asyncpg.connect(fresh_database.superuser_url)
    yield connection
    await connection.close()


@pytest.fixture
async def free_smtp() -> AsyncIterator[tuple[int, list[str]]]:
    """A small SMTP server (RFC 5321, no extensions): its port, and the lines of the mails it took."""
    received: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            if line.upper() == "DATA":
                writer.write(b"354 go on\r\n")
                while (text := (await reader.readline()).decode().rstrip("\r\n")) != ".":
                    received.append(text)
            writer.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], received
    server.close()
