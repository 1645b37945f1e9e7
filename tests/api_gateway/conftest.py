"""Fixtures: all services running; for one test, or, where tests do not disturb each other, for all tests of a file."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from launcher.embedded import NatsServer, PostgresServer, RedisServer
from tests.api_gateway.support import UNLIMITED, Suite, User, open_market, run_suite
from tests.servers import Database


@pytest.fixture
async def suite(fresh_database: Any, nats_server: Any, redis_server: Any) -> AsyncIterator[Suite]:
    settings = {"redis_url": redis_server.url, "rate_tiers": {}, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as running:
        yield running


@pytest.fixture
async def admin(suite: Suite) -> User:
    return await suite.admin()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_suite(
    postgres: PostgresServer, migrated_template: str, nats_server: NatsServer, redis_server: RedisServer
) -> AsyncIterator[Suite]:
    """For files whose tests say `pytestmark = pytest.mark.asyncio(loop_scope="module")`."""
    database = Database(postgres, f"test_{uuid.uuid4().hex}")
    await postgres.create_database(database.name, template=migrated_template)
    settings = {"redis_url": redis_server.url, "rate_tiers": {}, **UNLIMITED}
    async with run_suite(database, nats_server.url, all_settings=settings) as running:
        yield running
    await postgres.drop_database(database.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_admin(shared_suite: Suite) -> User:
    return await shared_suite.admin()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_market(shared_admin: User) -> str:
    """An ACTIVE one."""
    return await open_market(shared_admin)
