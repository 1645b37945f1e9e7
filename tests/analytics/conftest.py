"""Fixtures: the embedded engine (one folder a process, a database of its own per test), and rows to copy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from analytics import schema
from analytics.clickhouse import ClickHouse, Place
from launcher.embedded import PostgresServer
from runtime.postgres import Connection, Pool, open_pool
from tests.analytics import world as world_module
from tests.analytics.world import World
from tests.db_service.shard import connect
from tests.servers import Database, copied_database


@pytest.fixture(scope="session")
def engine_folder(server_folder: Path) -> Path:
    return server_folder / "clickhouse"


@pytest.fixture
async def clickhouse(engine_folder: Path) -> AsyncIterator[ClickHouse]:
    """With the whole schema, and nothing in it."""
    opened = ClickHouse(Place(folder=engine_folder, database=f"test_{uuid4().hex}"))
    await opened.open()
    await schema.apply(opened)
    yield opened
    await opened.drop_database()
    await opened.close()


@pytest.fixture
async def writer(fresh_database: Database) -> AsyncIterator[Connection]:
    """As order_service."""
    connection = await connect(fresh_database.url_for("pm_order"))
    yield connection
    await connection.close()


@pytest.fixture
async def postgres_pool(fresh_database: Database) -> AsyncIterator[Pool]:
    """As analytics."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(
            open_pool(fresh_database.url_for("pm_analytics"), name="test", min_size=1, max_size=4)
        )


@pytest.fixture
async def reader(fresh_database: Database) -> AsyncIterator[Connection]:
    """As analytics, one connection."""
    connection = await connect(fresh_database.url_for("pm_analytics"))
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def world(postgres: PostgresServer, migrated_template: str, engine_folder: Path) -> Iterator[World]:
    """Read only, so one for all tests."""
    with copied_database(postgres, migrated_template) as database:
        clickhouse = ClickHouse(Place(folder=engine_folder, database=database.name))
        yield asyncio.run(world_module.made(database, clickhouse))
        asyncio.run(world_module.ended(clickhouse))
