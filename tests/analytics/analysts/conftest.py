"""The endpoint, served over a database with a few rows of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from analytics import schema
from analytics.analysts.endpoint import TRANSFER_SECONDS, Endpoint
from analytics.analysts.queries import GRACE_SECONDS
from analytics.analysts.sessions import Bounds
from analytics.analysts.turns import TurnLimits
from analytics.clickhouse import ClickHouse, Place, opened
from launcher.embedded import PostgresServer
from runtime.clock import ManualClock, SystemClock
from runtime.http_server import HttpServer
from runtime.tokens import TokenVerifier
from tests.analytics.analysts.past import make_past
from tests.runtime.test_tokens import NOW, USER, Issuer
from tests.servers import copied_database

TRADES = 1_000


@pytest.fixture(scope="module")
def filled(engine_folder: Path) -> Iterator[Place]:
    """A database with trades; read only, so one for all tests of a module."""
    place = Place(folder=engine_folder, database=f"test_{uuid4().hex}")
    asyncio.run(_fill(place))
    yield place
    asyncio.run(_drop(place))


async def _fill(place: Place) -> None:
    clickhouse = ClickHouse(place)
    await clickhouse.open()
    await schema.apply(clickhouse)
    await clickhouse.command(
        "INSERT INTO trades (market_id, seq, row, time, price_micros, quantity_micros) "
        "SELECT toUUID('00000000-0000-4000-8000-000000000001'), number + 1, 0, "
        f"toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + number, 500000, number FROM numbers({TRADES})"
    )
    await clickhouse.close()


async def _drop(place: Place) -> None:
    clickhouse = ClickHouse(place)
    await clickhouse.open()
    await clickhouse.drop_database()
    await clickhouse.close()


@dataclass(slots=True)
class Live:
    """The endpoint, and those who ask it."""

    url: str
    clickhouse: ClickHouse
    endpoint: Endpoint
    issuer: Issuer
    http: aiohttp.ClientSession

    def token(self, role: str = "analyst", user_id: str = USER, **changes: Any) -> str:
        return self.issuer.token(role=role, sub=user_id, jti=uuid4().hex, **changes)

    async def ask(self, sql: str, *, token: str | None = None, **parameters: str) -> tuple[int, str]:
        """Status and text."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        async with self.http.post(self.url, data=sql.encode(), params=parameters, headers=headers) as answer:
            return answer.status, await answer.text()


def _module(fixture: Callable[..., Any]) -> Any:
    """Once for all tests of a module, which are to run in the module's loop."""
    return pytest_asyncio.fixture(scope="module", loop_scope="module")(fixture)


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return Bounds(memory_max_bytes=300_000_000, result_rows_max=100_000, result_max_bytes=10_000_000)


@pytest.fixture(scope="module")
def turns() -> TurnLimits:
    return TurnLimits()


@pytest.fixture(scope="module")
def transfer_seconds() -> float:
    return TRANSFER_SECONDS


@pytest.fixture(scope="module")
def grace_seconds() -> float:
    return GRACE_SECONDS


@_module
async def live(
    filled: Place, bounds: Bounds, turns: TurnLimits, transfer_seconds: float, grace_seconds: float
) -> AsyncIterator[Live]:
    async with AsyncExitStack() as stack:
        issuer = Issuer()
        keys = web.Application()
        keys.router.add_get("/jwks", issuer.jwks)
        issuer.url = f"http://127.0.0.1:{await _served(stack, keys)}/jwks"
        clickhouse = await stack.enter_async_context(opened(filled))
        verifier = TokenVerifier(
            jwks_url=issuer.url,
            issuer="predmarket",
            audience="predmarket-api",
            clock=ManualClock(NOW * 1_000_000),
        )
        stack.push_async_callback(verifier.close)
        endpoint = Endpoint(
            clickhouse,
            verifier,
            bounds=bounds,
            turns=turns,
            clock=SystemClock(),
            transfer_seconds=transfer_seconds,
            grace_seconds=grace_seconds,
        )
        url = await endpoint_served(stack, endpoint)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Live(url, clickhouse, endpoint, issuer, http)


async def endpoint_served(stack: AsyncExitStack, endpoint: Endpoint) -> str:
    """Its address, for as long as the stack."""
    await endpoint.prepare()
    url = f"http://127.0.0.1:{await _served(stack, endpoint.app())}/"
    stack.push_async_callback(endpoint.close)
    return url


async def _served(stack: AsyncExitStack, app: web.Application) -> int:
    server = HttpServer(app, host="127.0.0.1", port=0, grace_seconds=1)
    await server.start()
    stack.push_async_callback(server.stop)
    return server.port


@pytest.fixture(scope="session")
def past(postgres: PostgresServer, migrated_template: str, engine_folder: Path) -> Iterator[Place]:
    """Markets with days of trading; read only, so one for all tests."""
    with copied_database(postgres, migrated_template) as database:
        place = Place(folder=engine_folder, database=database.name)
        asyncio.run(make_past(database, place))
        yield place
        asyncio.run(_drop(place))
