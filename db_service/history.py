"""The reads: each returns messages, and for lists the next page's token. Who may call is decided in `rpc`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from db_service import messages
from db_service.paging import Key, Kind, Listing, Query
from db_service.store.objects import market_of, order_of, position_of
from db_service.store.shown import order_message
from engine.state import Market
from predmarket.common.v1 import common_pb2
from predmarket.db.v1 import db_pb2
from runtime.postgres import Pool

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:  # generic for the type checker only
    Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy

BORROW_SECONDS: Final = 2.0
"""When every connection is in use for so long, a call ends with UNAVAILABLE instead of waiting on."""
STATEMENT_SECONDS: Final = 5.0
PORTFOLIO_POSITIONS_MAX: Final = 1_000
DAY_MICROS: Final = 86_400 * 1_000_000

_ID, _NUMBER = Kind.ID, Kind.NUMBER
POSITIONS: Final = Listing("SELECT * FROM positions", (Key("market_id", _ID),))
ORDERS: Final = Listing("SELECT * FROM orders", (Key("created_at", _NUMBER), Key("order_id", _ID)))
FILLS: Final = Listing(
    "SELECT * FROM fills",
    (Key("time", _NUMBER), Key("market_id", _ID), Key("seq", _NUMBER), Key("fill_index", _NUMBER)),
)
LEDGER: Final = Listing(
    "SELECT * FROM trade_ledger",
    (Key("event_time", _NUMBER), Key("market_id", _ID), Key("event_seq", _NUMBER)),
)
TRADES: Final = Listing("SELECT * FROM trades", (Key("seq", _NUMBER), Key("trade_index", _NUMBER)))
AUDIT: Final = Listing("SELECT * FROM audit_log", (Key("audit_id", _NUMBER),))
_NEVER = "9223372036854775807"
_CLOSING = f"CASE WHEN closes_at = 0 THEN {_NEVER} ELSE closes_at END"
MARKETS: Final = {
    db_pb2.MARKET_SORT_NEWEST: Listing(
        "SELECT * FROM markets", (Key("created_at", _NUMBER), Key("market_id", _ID))
    ),
    db_pb2.MARKET_SORT_VOLUME: Listing(
        "SELECT * FROM markets", (Key("volume_micros", _NUMBER), Key("market_id", _ID))
    ),
    db_pb2.MARKET_SORT_CLOSING: Listing(
        f"SELECT *, {_CLOSING} AS closing FROM markets",
        (Key(_CLOSING, _NUMBER, "closing"), Key("market_id", _ID)),
        ascending=True,
    ),
}
HIDDEN: Final = "(status = 'DRAFT' OR reason = 'DELETED')"
"""Never opened: there for admins only."""


@asynccontextmanager
async def one_moment(pool: Pool) -> AsyncIterator[Connection]:
    """A connection whose statements all see the same moment. Raises TimeoutError when none is free."""
    async with (
        pool.acquire(timeout=BORROW_SECONDS) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def portfolio(pool: Pool, user_id: str) -> db_pb2.GetPortfolioResponse:
    """Balances and marked holdings."""
    async with one_moment(pool) as connection:
        account = await connection.fetchrow("SELECT * FROM accounts WHERE user_id = $1", user_id)
        realized = await connection.fetchval(
            "SELECT coalesce(sum(realized_pnl_micros), 0)::bigint FROM positions WHERE user_id = $1", user_id
        )
        rows = await connection.fetch(
            "SELECT * FROM positions WHERE user_id = $1 AND (yes_micros > 0 OR no_micros > 0)"
            " ORDER BY market_id DESC",
            user_id,
        )
        held = await _marked(connection, rows)
    available, locked = (account["available_micros"], account["locked_micros"]) if account else (0, 0)
    marks = sum(position.mark_micros for position in held)
    bases = sum(position.cost_basis_yes_micros + position.cost_basis_no_micros for position in held)
    return db_pb2.GetPortfolioResponse(
        available_micros=available,
        locked_micros=locked,
        equity_micros=available + locked + marks,
        unrealized_pnl_micros=marks - bases,
        realized_pnl_micros=realized,
        positions=held[:PORTFOLIO_POSITIONS_MAX],
        user_seq=account["user_seq"] if account else 0,
    )


async def positions(
    pool: Pool, user_id: str, request: db_pb2.ListPositionsRequest
) -> db_pb2.ListPositionsResponse:
    """One user's positions."""
    query = _owned(POSITIONS, user_id, request.market_id)
    statement = query.page(request.page_size, request.page_token)
    async with one_moment(pool) as connection:
        found = await connection.fetch(statement.text, *statement.arguments)
        rows, token = statement.cut(found)
        marked = await _marked(connection, rows)
    return db_pb2.ListPositionsResponse(positions=marked, next_page_token=token)


async def orders(pool: Pool, user_id: str, request: db_pb2.ListOrdersRequest) -> db_pb2.ListOrdersResponse:
    """One user's orders."""
    query = _owned(ORDERS, user_id, request.market_id)
    if request.status:
        query.where("status = {}", request.status)
    if request.open_only:
        query.where("remaining_micros > 0")
    rows, token = await _page(pool, query, request)
    return db_pb2.ListOrdersResponse(
        orders=[order_message(order_of(row)) for row in rows], next_page_token=token
    )


async def order(pool: Pool, user_id: str, order_id: str) -> common_pb2.Order | None:
    """One user's order with its fills; None: there is none."""
    async with one_moment(pool) as connection:
        row = await connection.fetchrow(
            "SELECT * FROM orders WHERE order_id = $1 AND user_id = $2", order_id, user_id
        )
        if row is None:
            return None
        fills = await connection.fetch(
            "SELECT * FROM fills WHERE order_id = $1 ORDER BY seq, fill_index", order_id
        )
    return order_message(order_of(row), [messages.fill_message(fill) for fill in fills])


async def fills(pool: Pool, user_id: str, request: db_pb2.ListFillsRequest) -> db_pb2.ListFillsResponse:
    """One user's fills."""
    query = _owned(FILLS, user_id, request.market_id)
    if request.order_id:
        query.where("order_id = {}", request.order_id)
    rows, token = await _page(pool, query, request)
    return db_pb2.ListFillsResponse(fills=[messages.fill_message(row) for row in rows], next_page_token=token)


async def ledger(pool: Pool, user_id: str, request: db_pb2.ListLedgerRequest) -> db_pb2.ListLedgerResponse:
    """One user's ledger."""
    query = _owned(LEDGER, user_id, request.market_id)
    if request.kind:
        query.where("kind = {}", request.kind)
    rows, token = await _page(pool, query, request)
    return db_pb2.ListLedgerResponse(
        rows=[messages.ledger_message(row) for row in rows], next_page_token=token
    )


async def markets(
    pool: Pool, request: db_pb2.ListMarketsRequest, *, hidden_too: bool
) -> db_pb2.ListMarketsResponse:
    """Markets by filters."""
    query = Query(MARKETS[request.sort or db_pb2.MARKET_SORT_NEWEST])
    if not hidden_too:
        query.where(f"NOT {HIDDEN}")
    if request.status:
        query.where("status = {}", request.status)
    if request.category:
        query.where("category = {}", request.category)
    if request.q:
        query.where("strpos(lower(question || ' ' || description), lower({})) > 0", request.q)
    rows, token = await _page(pool, query, request)
    return db_pb2.ListMarketsResponse(markets=await _with_volumes(pool, rows), next_page_token=token)


async def market(pool: Pool, market_id: str, *, hidden_too: bool) -> db_pb2.MarketDetails | None:
    """One market; None: there is none that this caller may see."""
    condition = "" if hidden_too else f" AND NOT {HIDDEN}"
    rows = await _fetch(pool, f"SELECT * FROM markets WHERE market_id = $1{condition}", market_id)
    return (await _with_volumes(pool, rows))[0] if rows else None


async def trades(pool: Pool, request: db_pb2.ListTradesRequest) -> db_pb2.ListTradesResponse:
    """A market's trades."""
    query = Query(TRADES)
    query.where("market_id = {}", request.market_id)
    rows, token = await _page(pool, query, request)
    return db_pb2.ListTradesResponse(
        trades=[messages.trade_message(row) for row in rows], next_page_token=token
    )


async def audit(pool: Pool, request: db_pb2.ListAuditRequest) -> db_pb2.ListAuditResponse:
    """The audit log."""
    query = Query(AUDIT)
    for column in ("actor_id", "target", "action"):
        value = getattr(request, column)
        if value:
            query.where(f"{column} = {{}}", value)
    rows, token = await _page(pool, query, request)
    return db_pb2.ListAuditResponse(rows=[messages.audit_message(row) for row in rows], next_page_token=token)


def _owned(listing: Listing, user_id: str, market_id: str) -> Query:
    query = Query(listing)
    query.where("user_id = {}", user_id)
    if market_id:
        query.where("market_id = {}", market_id)
    return query


async def _page(pool: Pool, query: Query, request: Any) -> tuple[Sequence[asyncpg.Record], str]:
    statement = query.page(request.page_size, request.page_token)
    return statement.cut(await _fetch(pool, statement.text, *statement.arguments))


async def _fetch(pool: Pool, text: str, *arguments: Any) -> list[asyncpg.Record]:
    async with pool.acquire(timeout=BORROW_SECONDS) as connection:
        return await connection.fetch(text, *arguments, timeout=STATEMENT_SECONDS)


async def _marked(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[db_pb2.Position]:
    found = await connection.fetch(
        "SELECT * FROM markets WHERE market_id = ANY($1::uuid[])", [row["market_id"] for row in rows]
    )
    by_id: dict[Any, Market] = {row["market_id"]: market_of(row) for row in found}
    return [messages.position_message(position_of(row), by_id[row["market_id"]]) for row in rows]


async def _with_volumes(pool: Pool, rows: Sequence[asyncpg.Record]) -> list[db_pb2.MarketDetails]:
    volumes = await _fetch(
        pool,
        "SELECT market_id, sum(quantity_micros)::bigint AS volume FROM trades WHERE market_id = ANY($1::uuid[])"
        f" AND time > (extract(epoch FROM now()) * 1000000)::bigint - {DAY_MICROS} GROUP BY market_id",
        [row["market_id"] for row in rows],
    )
    by_id = {row["market_id"]: row["volume"] for row in volumes}
    return [messages.market_message(row, by_id.get(row["market_id"], 0)) for row in rows]
