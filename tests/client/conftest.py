"""Fixtures: all services running, and clients of them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from predmarket_client import Client
from tests.api_gateway.support import UNLIMITED, Suite, run_suite
from tests.auth_service.support import PASSWORD
from tests.client.support import Clients


@pytest.fixture
async def suite(fresh_database: Any, nats_server: Any, redis_server: Any) -> AsyncIterator[Suite]:
    settings = {"redis_url": redis_server.url, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as running:
        yield running


@pytest.fixture
async def clients(suite: Suite) -> AsyncIterator[Clients]:
    async with Clients(suite) as made:
        yield made


@pytest.fixture
async def short_lived(fresh_database: Any, nats_server: Any, redis_server: Any) -> AsyncIterator[Clients]:
    """Where access tokens live for three seconds."""
    settings = {"redis_url": redis_server.url, **UNLIMITED}
    running = run_suite(
        fresh_database, nats_server.url, auth_settings={"access_token_seconds": 3}, all_settings=settings
    )
    async with running as suite, Clients(suite) as made:
        yield made


@pytest.fixture
async def admin(suite: Suite) -> AsyncIterator[Client]:
    account = await suite.admin()
    async with Client(suite.url, email=account.email, password=PASSWORD) as client:
        yield client
