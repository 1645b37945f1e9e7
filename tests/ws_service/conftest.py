"""Fixtures: a running ws_service."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.ws_service.support import Live, Servers, ensure_user_events, run_live


@pytest.fixture
def servers(nats_server: Any, redis_server: Any) -> Servers:
    return Servers(nats_server.url, redis_server.url)


@pytest.fixture
async def live(servers: Servers) -> AsyncIterator[Live]:
    async with run_live(servers) as running:
        yield running


@pytest.fixture
async def user_events(live: Live) -> None:
    """The stream that the relay makes; shared by all tests of the server, so users are new in each."""
    await ensure_user_events(live)


@pytest.fixture
def market() -> str:
    return str(uuid.uuid4())
