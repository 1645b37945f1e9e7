"""A running market_service beside the order_service whose events it follows, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from market_service.process import serve
from market_service.settings import MarketSettings
from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2, market_pb2_grpc
from runtime.grpc_client import call, call_stream, open_channel
from runtime.lifecycle import Process
from runtime.ops_http import OpsServer
from runtime.ports import free_port
from tests.order_service.support import Client, Issuer, run_service_here, settings_of
from tests.servers import Database


@dataclass(slots=True)
class Reader:
    """Asks one market_service, as whoever is named; nobody: without a token."""

    issuer: Issuer
    stub: Any
    process: Process

    async def ask(self, method: str, request: Any, user: str = "", role: str = "user") -> Any:
        return await call(
            getattr(self.stub, method), request, deadline_seconds=10, authorization=self._token(user, role)
        )

    def stream(self, method: str, request: Any, seconds: float = 20) -> Any:
        return call_stream(getattr(self.stub, method), request, deadline_seconds=seconds)

    async def book(self, market_id: str, **fields: Any) -> market_pb2.GetBookResponse:
        request = market_pb2.GetBookRequest(market_id=market_id, **fields)
        answer: market_pb2.GetBookResponse = await self.ask("GetBook", request)
        return answer

    async def ticker(self, market_id: str) -> market_pb2.Ticker:
        answer = await self.ask("GetTicker", market_pb2.GetTickerRequest(market_id=market_id))
        ticker: market_pb2.Ticker = answer.ticker
        return ticker

    async def market(self, market_id: str) -> market_pb2.MarketDetails:
        answer = await self.ask("GetMarket", market_pb2.GetMarketRequest(market_id=market_id))
        details: market_pb2.MarketDetails = answer.market
        return details

    async def listed(self, **fields: Any) -> list[str]:
        """The questions of a list's first page."""
        answer = await self.ask("ListMarkets", market_pb2.ListMarketsRequest(**fields))
        return [each.market.question for each in answer.markets]

    def _token(self, user: str, role: str) -> str | None:
        return f"Bearer {self.issuer.token(user, role)}" if user else None


@dataclass(slots=True)
class Exchange:
    """Who writes, and who reads."""

    orders: Client
    reader: Reader
    database: Database
    nats_url: str
    redis_url: str
    issuer: Issuer

    @asynccontextmanager
    async def another(self, **changes: Any) -> AsyncIterator[Reader]:
        """One more market_service."""
        usual = market_settings(self.database, self.nats_url, self.redis_url, self.issuer)
        fields = {**usual, "instance": "market_service-2", **changes}
        async with run_market_service(self.issuer, fields) as reader:
            yield reader


def market_settings(
    database: Database, nats_url: str, redis_url: str, issuer: Issuer, **changes: Any
) -> dict[str, Any]:
    return {
        "database_url": database.url_for("pm_market"),
        "nats_url": nats_url,
        "redis_url": redis_url,
        "jwks_url": issuer.url,
        "grpc_port": free_port(),
        "instance": "market_service-1",
        "sweep_seconds": 0.3,
        **changes,
    }


@asynccontextmanager
async def run_market_service(issuer: Issuer, fields: dict[str, Any]) -> AsyncIterator[Reader]:
    """As `python -m market_service` wires it, in this loop."""
    settings = MarketSettings(**fields)
    async with AsyncExitStack() as outer:
        ops = OpsServer(host="127.0.0.1", port=0)
        channel = await outer.enter_async_context(open_channel(f"127.0.0.1:{settings.grpc_port}"))
        stack = await outer.enter_async_context(AsyncExitStack())
        process = Process("market_service", settings, stack, ops)
        await serve(process, settings)
        await process.set_ready(True)
        yield Reader(issuer, market_pb2_grpc.MarketServiceStub(channel), process)


@asynccontextmanager
async def run_exchange(
    issuer: Issuer, database: Database, nats_url: str, redis_url: str, **changes: Any
) -> AsyncIterator[Exchange]:
    """Both services; `changes` are market_service's."""
    orders = settings_of(database.url_for("pm_order"), nats_url, issuer.url)
    markets = market_settings(database, nats_url, redis_url, issuer, **changes)
    async with run_service_here(issuer, orders) as client, run_market_service(issuer, markets) as reader:
        yield Exchange(client, reader, database, nats_url, redis_url, issuer)


def spend(market_id: str, spent_micros: int, **fields: Any) -> market_pb2.GetQuoteRequest:
    """A MARKET BUY of YES for so much, to be quoted; unless said otherwise."""
    usual: dict[str, Any] = {
        "side": common_pb2.SIDE_BUY,
        "outcome": common_pb2.OUTCOME_YES,
        "type": market_pb2.QUOTE_TYPE_MARKET,
        "amount_micros": spent_micros,
    }
    return market_pb2.GetQuoteRequest(market_id=market_id, **{**usual, **fields})


async def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    """Waits for something that becomes true by itself."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)
