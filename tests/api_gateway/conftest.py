"""Fixtures: all services running; for one test, or, where tests do not disturb each other, for all tests of a file."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from launcher.embedded import NatsServer, RedisServer
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
    shared_database: Database, nats_server: NatsServer, redis_server: RedisServer
) -> AsyncIterator[Suite]:
    """For files whose tests say `pytestmark = pytest.mark.asyncio(loop_scope="module")`."""
    settings = {"redis_url": redis_server.url, "rate_tiers": {}, **UNLIMITED}
    async with run_suite(shared_database, nats_server.url, all_settings=settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_admin(shared_suite: Suite) -> User:
    return await shared_suite.admin()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_market(shared_admin: User) -> str:
    """An ACTIVE one."""
    return await open_market(shared_admin)
