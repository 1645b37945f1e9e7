"""Fixtures: order_service and market_service side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from launcher.embedded import NatsServer, RedisServer
from tests.market_service.support import Exchange, run_exchange
from tests.order_service.support import Issuer, run_issuer
from tests.servers import Database


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with run_issuer() as issuer:
        yield issuer


@pytest.fixture
async def exchange(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer, redis_server: RedisServer
) -> AsyncIterator[Exchange]:
    async with run_exchange(issuer, fresh_database, nats_server.url, redis_server.url) as running:
        yield running
