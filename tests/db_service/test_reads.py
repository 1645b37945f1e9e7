"""The reads over gRPC: a real db_service, a real database, tokens checked."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from db_service.process import serve
from db_service.settings import DbSettings
from engine import commands as c
from predmarket.common.v1 import common_pb2
from predmarket.db.v1 import db_pb2, db_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from runtime.http_server import HttpServer
from runtime.lifecycle import Process
from runtime.ops_http import OpsServer
from runtime.ports import free_port
from runtime.postgres import Connection
from tests.db_service.shard import ADMIN, ALICE, BOB, POINT, played
from tests.runtime.test_tokens import Issuer
from tests.servers import Database


class Reads:
    """Asks a running db_service."""

    def __init__(self, stub: db_pb2_grpc.DbServiceStub, issuer: Issuer) -> None:
        self._stub = stub
        self._issuer = issuer

    async def ask(self, request: Any, user_id: str = "", role: str = "user") -> Any:
        """The RPC of the request's name."""
        header = None
        if user_id:
            now = int(time.time())
            token = self._issuer.token(sub=user_id, role=role, iat=now, exp=now + 900)
            header = f"Bearer {token}"
        method = getattr(self._stub, type(request).__name__.removesuffix("Request"))
        return await call(method, request, deadline_seconds=10, authorization=header)

    async def refusal(self, request: Any, user_id: str = "", role: str = "user") -> ErrorCode:
        """The code of the no."""
        with pytest.raises(ApiError) as refused:
            await self.ask(request, user_id, role)
        return refused.value.code

    async def all(self, request: Any, field: str, user_id: str = "", role: str = "user") -> list[Any]:
        """Every page of a list."""
        found: list[Any] = []
        while True:
            answer = await self.ask(request, user_id, role)
            found += getattr(answer, field)
            assert len(getattr(answer, field)) <= (request.page_size or 50)
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token


@pytest.fixture
async def reads(fresh_database: Database) -> AsyncIterator[Reads]:
    async with AsyncExitStack() as outer:
        issuer = Issuer()
        app = web.Application()
        app.router.add_get("/jwks", issuer.jwks)
        keys = HttpServer(app, host="127.0.0.1", port=0, grace_seconds=0)
        await keys.start()
        outer.push_async_callback(keys.stop)
        settings = DbSettings.model_validate(
            {
                "database_url": fresh_database.url_for("pm_db"),
                "database_read_url": fresh_database.url_for("pm_db"),
                "grpc_port": free_port(),
                "jwks_url": f"http://127.0.0.1:{keys.port}/jwks",
            }
        )
        ops = OpsServer(host="127.0.0.1", port=0)
        await ops.start()
        outer.push_async_callback(ops.stop)
        stack = await outer.enter_async_context(AsyncExitStack())
        await serve(process := Process("db_service", settings, stack, ops), settings)
        await process.set_ready(True)
        channel = await outer.enter_async_context(open_channel(f"127.0.0.1:{settings.grpc_port}"))
        yield Reads(db_pb2_grpc.DbServiceStub(channel), issuer)


async def test_a_portfolio_adds_up(reads: Reads, writer: Connection) -> None:
    _, market_id = await played(writer)
    portfolio = await reads.ask(db_pb2.GetPortfolioRequest(), ALICE)
    (position,) = portfolio.positions
    market = (await reads.ask(db_pb2.GetMarketRequest(market_id=market_id))).market.market
    assert position.market_id == market_id
    assert position.no_micros == 5 * POINT
    probability = market.probability_micros
    worth = position.yes_micros * probability + position.no_micros * (POINT - probability)
    assert position.mark_micros == worth // POINT
    total = portfolio.available_micros + portfolio.locked_micros + position.mark_micros
    assert portfolio.equity_micros == total
    bases = position.cost_basis_yes_micros + position.cost_basis_no_micros
    assert portfolio.unrealized_pnl_micros == position.mark_micros - bases
    assert portfolio.realized_pnl_micros > 0  # from the market that was decided
    assert portfolio.user_seq > 0
    all_positions = await reads.all(db_pb2.ListPositionsRequest(page_size=1), "positions", ALICE)
    assert len(all_positions) == 2
    stranger = await reads.ask(db_pb2.GetPortfolioRequest(), ADMIN)
    assert (stranger.equity_micros, list(stranger.positions)) == (0, [])


async def test_orders_fills_and_ledger_are_the_callers_own(reads: Reads, writer: Connection) -> None:
    _, market_id = await played(writer)
    orders = await reads.all(db_pb2.ListOrdersRequest(page_size=1), "orders", BOB)
    assert [order.user_id for order in orders] == [BOB, BOB]
    assert orders[0].created_at > orders[1].created_at
    open_ones = await reads.all(db_pb2.ListOrdersRequest(open_only=True), "orders", BOB)
    assert [order.status for order in open_ones] == ["OPEN"]
    order = (await reads.ask(db_pb2.GetOrderRequest(order_id=orders[1].order_id), BOB)).order
    assert order.status == "FILLED"
    assert sum(fill.quantity_micros for fill in order.fills) == order.filled_micros == 40 * POINT
    assert {fill.liquidity for fill in order.fills} == {"MAKER"}
    assert order.outcome == common_pb2.OUTCOME_NO
    somebody_elses = db_pb2.GetOrderRequest(order_id=order.order_id)
    assert await reads.refusal(somebody_elses, ALICE) is ErrorCode.ORDER_NOT_FOUND
    fills = await reads.all(db_pb2.ListFillsRequest(market_id=market_id, page_size=1), "fills", ALICE)
    assert len({(fill.trade_id, fill.order_id) for fill in fills}) == len(fills) >= 2
    ledger = await reads.all(db_pb2.ListLedgerRequest(page_size=2), "rows", ALICE)
    portfolio = await reads.ask(db_pb2.GetPortfolioRequest(), ALICE)
    points = portfolio.available_micros + portfolio.locked_micros
    assert sum(row.points_micros for row in ledger) == ledger[0].balance_after_micros == points
    granted = await reads.all(db_pb2.ListLedgerRequest(kind="GRANT_POINTS"), "rows", ALICE)
    assert [row.points_micros for row in granted] == [10_000 * POINT]


async def test_drafts_are_for_admins(reads: Reads, writer: Connection) -> None:
    shard, market_id = await played(writer)
    draft = await shard.market("A draft about snow", active=False)
    listed = await reads.all(db_pb2.ListMarketsRequest(page_size=1), "markets")
    assert listed[0].market.market_id == market_id
    assert len(listed) == 2
    as_admin = await reads.all(db_pb2.ListMarketsRequest(), "markets", ADMIN, "admin")
    assert as_admin[0].market.market_id == draft
    one = db_pb2.GetMarketRequest(market_id=draft)
    assert (await reads.ask(one, ADMIN, "admin")).market.market.status == "DRAFT"
    assert await reads.refusal(one) is ErrorCode.MARKET_NOT_FOUND
    assert await reads.refusal(one, ALICE) is ErrorCode.MARKET_NOT_FOUND
    await shard.do(c.DeleteMarket(market_id=draft, actor_id=ADMIN))
    assert await reads.refusal(one) is ErrorCode.MARKET_NOT_FOUND


async def test_markets_are_found_by_what_is_asked(reads: Reads, writer: Connection) -> None:
    _, market_id = await played(writer)
    found = await reads.all(
        db_pb2.ListMarketsRequest(q="RAIN", category="weather", status="ACTIVE"), "markets"
    )
    assert [row.market.market_id for row in found] == [market_id]
    assert found[0].volume_24h_micros == found[0].market.volume_micros > 0
    assert await reads.all(db_pb2.ListMarketsRequest(q="%"), "markets") == []
    for sort in ("MARKET_SORT_NEWEST", "MARKET_SORT_VOLUME", "MARKET_SORT_CLOSING"):
        rows = await reads.all(db_pb2.ListMarketsRequest(sort=sort, page_size=1), "markets")
        assert len({row.market.market_id for row in rows}) == len(rows) == 2
    trades = await reads.all(db_pb2.ListTradesRequest(market_id=market_id, page_size=1), "trades")
    assert sum(trade.quantity_micros for trade in trades) == found[0].market.volume_micros
    assert {trade.venue for trade in trades} == {"BOOK", "POOL"}


async def test_the_audit_log_is_for_admins(reads: Reads, rows: Connection) -> None:
    await rows.executemany(
        "INSERT INTO audit_log (actor_id, action, target, reason, after) VALUES ($1, $2, 'm', 'why', '{}')",
        [(ADMIN, "market.pause"), (ADMIN, "market.resume"), (ALICE, "session.ended")],
    )
    found = await reads.all(db_pb2.ListAuditRequest(actor_id=ADMIN, page_size=1), "rows", ADMIN, "admin")
    assert [row.action for row in found] == ["market.resume", "market.pause"]
    assert found[0].after_json == "{}"
    assert await reads.refusal(db_pb2.ListAuditRequest(), ALICE) is ErrorCode.FORBIDDEN
    assert await reads.refusal(db_pb2.ListAuditRequest()) is ErrorCode.UNAUTHENTICATED


async def test_bad_questions_are_refused(reads: Reads, writer: Connection) -> None:
    await played(writer)
    first = await reads.ask(db_pb2.ListOrdersRequest(page_size=1), BOB)
    token = first.next_page_token
    assert token
    for request in (
        db_pb2.ListOrdersRequest(page_size=-1),
        db_pb2.ListOrdersRequest(page_size=201),
        db_pb2.ListOrdersRequest(status="open"),
        db_pb2.ListOrdersRequest(market_id="x"),
        db_pb2.ListOrdersRequest(page_token="x"),
        db_pb2.ListOrdersRequest(page_token="é"),
        db_pb2.ListOrdersRequest(page_token="A" * 501),
        db_pb2.ListOrdersRequest(page_token=token[:-2]),
        db_pb2.ListOrdersRequest(page_token=token, open_only=True),
        db_pb2.ListFillsRequest(page_token=token),
        db_pb2.GetOrderRequest(order_id=ALICE.upper()),
        db_pb2.GetMarketRequest(market_id=""),
        db_pb2.ListMarketsRequest(q="x" * 101),
        db_pb2.ListMarketsRequest(q="\0"),
        db_pb2.ListMarketsRequest(sort=99),  # type: ignore[arg-type]
        db_pb2.ListLedgerRequest(kind="\0"),
    ):
        assert await reads.refusal(request, BOB) is ErrorCode.INVALID_ARGUMENT, request
    for own in (db_pb2.GetPortfolioRequest(), db_pb2.ListOrdersRequest(), db_pb2.ListLedgerRequest()):
        assert await reads.refusal(own) is ErrorCode.UNAUTHENTICATED
