"""Fixtures: a running auth_service on a real, migrated database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from tests.auth_service.support import Auth, Points, run_auth, serve_points

StartAuth = Callable[..., Awaitable[Auth]]


@pytest.fixture
async def start_auth(fresh_database: Any, points: Points) -> AsyncIterator[StartAuth]:
    """Starts one auth_service more on the test's database, with settings of its own."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Auth:
            order_grpc = changes.pop("order_grpc", points.address)
            service = run_auth(fresh_database.url_for("pm_auth"), order_grpc, **changes)
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
