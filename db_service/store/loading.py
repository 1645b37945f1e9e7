"""Rows to the engine's objects: one market, a whole shard, and what routing asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from db_service.store.objects import Row, market_of, order_of, position_of
from db_service.store.tables import MARKET_COLUMNS, ORDER_COLUMNS, ORDER_IDENTITY, POSITION_COLUMNS
from engine.commands import system_stream_id
from engine.core import is_system_stream, system_stream
from engine.events import Event
from engine.replay import new_order
from engine.state import MarketState, Order, ShardState
from runtime.postgres import Connection, Pool

ROWS_PER_TURN = 1_000

_MARKET_HEAD = ("market_id", "created_by", "created_at", "seq", "last_hash")
_MARKET_SELECT = f"SELECT {', '.join([*_MARKET_HEAD, *MARKET_COLUMNS.values()])} FROM markets "
_ORDER_SELECT = (
    "SELECT order_id::text, market_id::text, user_id::text, "
    f"{', '.join(name for name in [*ORDER_IDENTITY, *ORDER_COLUMNS] if name not in ('market_id', 'user_id'))} "
    "FROM orders "
)


@dataclass(frozen=True, slots=True)
class ShardRow:
    """Who owns a shard; empty texts: nobody yet."""

    shard_id: int
    owner: str
    address: str
    epoch: int


async def load_market(connection: Connection, market_id: str) -> MarketState | None:
    """A market (or system stream) as it is durable, with open orders and positions; None: not there."""
    if is_system_stream(market_id):
        return await _load_stream(connection, int(market_id[24:]))
    markets = await connection.fetch(_MARKET_SELECT + "WHERE market_id = $1", market_id)
    if not markets:
        return None
    state = _market_state(markets[0])
    await _fill_in(connection, {market_id: state})
    return state


async def load_shard(connection: Connection, shard_id: int) -> ShardState:
    """Everything the owner of a shard needs."""
    state = ShardState()
    stream_id = system_stream_id(shard_id)
    state.markets[stream_id] = await _load_stream(connection, shard_id)
    rows = await connection.fetch(_MARKET_SELECT + "WHERE shard_id = $1", shard_id)
    markets = {str(row["market_id"]): _market_state(row) for row in rows}
    await _fill_in(connection, markets)
    state.markets.update(markets)
    return state


async def load_orders(connection: Connection | Pool, order_ids: Sequence[str]) -> list[Order]:
    """Orders, open or ended."""
    rows = await connection.fetch(_ORDER_SELECT + "WHERE order_id = ANY($1::uuid[])", list(order_ids))
    return [order_of(row) for row in rows]


async def orders_of(connection: Connection | Pool, events: Sequence[Event]) -> Mapping[str, Order]:
    """Every order these events changed: what never changes of it."""
    known: dict[str, Order] = {}
    wanted: set[str] = set()
    for event in events:
        if event.effects.new_order is not None:
            order = new_order(event)
            known[order.order_id] = order
        wanted.update(order.order_id for order in event.effects.orders)
    missing = sorted(wanted - set(known))
    if missing:
        for order in await load_orders(connection, missing):
            known[order.order_id] = order
    return known


async def load_last_trades(connection: Connection, shard_id: int) -> dict[str, int]:
    """The number of the last event with trades, of each market that has one."""
    rows = await connection.fetch(
        "SELECT market_id, last_trade_seq FROM markets WHERE shard_id = $1 AND last_trade_seq > 0", shard_id
    )
    return {str(row["market_id"]): row["last_trade_seq"] for row in rows}


async def shard_of_market(connection: Connection | Pool, market_id: str, *, hidden_too: bool) -> int | None:
    """None: there is no such market; or, unless `hidden_too`, none that the public may know of."""
    shard_id: int | None = await connection.fetchval(
        """
        SELECT shard_id FROM markets
        WHERE market_id = $1 AND ($2 OR (status <> 'DRAFT' AND reason <> 'DELETED' AND question <> ''))
        """,
        market_id,
        hidden_too,
    )
    return shard_id


async def market_of_order(connection: Connection | Pool, order_id: str, user_id: str) -> str | None:
    """None: this user has no such order."""
    found = await connection.fetchval(
        "SELECT market_id FROM orders WHERE order_id = $1 AND user_id = $2", order_id, user_id
    )
    return None if found is None else str(found)


async def shard_owners(connection: Connection | Pool) -> list[ShardRow]:
    rows = await connection.fetch("SELECT shard_id, owner, address, epoch FROM shards ORDER BY shard_id")
    return [ShardRow(row["shard_id"], row["owner"], row["address"], row["epoch"]) for row in rows]


async def _load_stream(connection: Connection, shard_id: int) -> MarketState:
    state = system_stream(shard_id)
    row = await connection.fetchrow("SELECT seq, last_hash FROM system_streams WHERE shard_id = $1", shard_id)
    assert row is not None, "the migrations made the stream of every shard"
    state.market.seq, state.market.last_hash = row["seq"], row["last_hash"]
    return state


async def _fill_in(connection: Connection, markets: dict[str, MarketState]) -> None:
    ids = list(markets)
    orders = await connection.fetch(
        _ORDER_SELECT + "WHERE market_id = ANY($1::uuid[]) AND remaining_micros > 0 ORDER BY priority_seq",
        ids,
    )
    async for row in _unhurried(orders):
        order = order_of(row)
        markets[order.market_id].load_order(order)
    positions = await connection.fetch(
        f"SELECT market_id::text, user_id::text, {', '.join(POSITION_COLUMNS)} FROM positions "
        "WHERE market_id = ANY($1::uuid[])",
        ids,
    )
    async for row in _unhurried(positions):
        position = position_of(row)
        markets[position.market_id].positions[position.user_id] = position


def _market_state(row: Row) -> MarketState:
    return MarketState(market_of(row))


async def _unhurried(rows: Sequence[Row]) -> AsyncIterator[Row]:
    """Row by row; now and then everybody else in the process gets a turn."""
    for number, row in enumerate(rows, 1):
        yield row
        if number % ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
