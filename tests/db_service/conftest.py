"""Fixtures: connections to a migrated database."""

from collections.abc import AsyncIterator

import pytest

from runtime.postgres import Connection
from tests.db_service.shard import connect
from tests.servers import Database


@pytest.fixture
async def writer(fresh_database: Database) -> AsyncIterator[Connection]:
    """As order_service."""
    connection = await connect(fresh_database.url_for("pm_order"))
    yield connection
    await connection.close()


@pytest.fixture
async def rows(fresh_database: Database) -> AsyncIterator[Connection]:
    """As nobody but a test."""
    connection = await connect(fresh_database.superuser_url)
    yield connection
    await connection.close()
