"""A signer of tokens, and a service with a market, for each test that wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from launcher.embedded import NatsServer
from tests.order_service.support import Client, Issuer, run_issuer, run_service_here, settings_of, verify
from tests.servers import Database


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with run_issuer() as issuer:
        yield issuer


@pytest.fixture
async def client(issuer: Issuer, fresh_database: Database, nats_server: NatsServer) -> AsyncIterator[Client]:
    """One process with all shards; afterwards everything in PostgreSQL is verified."""
    fields = settings_of(fresh_database.url_for("pm_order"), nats_server.url, issuer.url)
    async with run_service_here(issuer, fields) as client:
        yield client
    await verify(fresh_database.superuser_url)
