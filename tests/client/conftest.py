"""Fixtures: all services running, and clients of them."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from predmarket_client import Client
from tests.api_gateway.support import UNLIMITED, Suite, run_suite
from tests.auth_service.support import PASSWORD
from tests.client.support import Clients


@pytest.fixture
def settings(redis_server: Any) -> dict[str, Any]:
    """Of every service but auth_service."""
    return {"redis_url": redis_server.url, **UNLIMITED}


@pytest.fixture
async def suite(fresh_database: Any, nats_server: Any, settings: Mapping[str, Any]) -> AsyncIterator[Suite]:
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as running:
        yield running


@pytest.fixture
async def clients(suite: Suite) -> AsyncIterator[Clients]:
    async with Clients(suite) as made:
        yield made


@pytest.fixture
async def short_lived(
    fresh_database: Any, nats_server: Any, settings: Mapping[str, Any]
) -> AsyncIterator[Clients]:
    """Where access tokens live for three seconds."""
    auth = {"access_token_seconds": 3}
    running = run_suite(fresh_database, nats_server.url, auth_settings=auth, all_settings=settings)
    async with running as suite, Clients(suite) as made:
        yield made


@pytest.fixture
async def admin(suite: Suite) -> AsyncIterator[Client]:
    account = await suite.admin()
    async with Client(suite.url, email=account.email, password=PASSWORD) as client:
        yield client


@pytest.fixture
async def admin_of_short(short_lived: Clients) -> AsyncIterator[Client]:
    account = await short_lived.suite.admin()
    async with Client(short_lived.suite.url, email=account.email, password=PASSWORD) as client:
        yield client
