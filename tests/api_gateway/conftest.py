"""Fixtures: all services running."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api_gateway.support import UNLIMITED, Suite, User, run_suite


@pytest.fixture
async def suite(fresh_database: Any, nats_server: Any, redis_server: Any) -> AsyncIterator[Suite]:
    settings = {"redis_url": redis_server.url, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as running:
        yield running


@pytest.fixture
async def admin(suite: Suite) -> User:
    return await suite.admin()
