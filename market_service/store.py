"""What is read from PostgreSQL, as objects of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from db_service.store.loading import load_market
from db_service.store.objects import Row, market_of
from engine.events import Event, decode
from engine.state import Market, MarketState, MarketStatus
from runtime.postgres import Connection, Pool

BORROW_SECONDS: Final = 2.0
"""When every connection is in use for so long, a call ends with UNAVAILABLE instead of waiting on."""
EVENTS_AT_ONCE: Final = 200
LIVE: Final = (MarketStatus.ACTIVE, MarketStatus.PAUSED)

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_LEVELS: Final = """
    SELECT market_id, (side = 'BUY') = (outcome = 'YES') AS is_bid,
        CASE WHEN outcome = 'YES' THEN price_micros ELSE 1000000 - price_micros END AS price,
        sum(remaining_micros)::bigint AS quantity
    FROM orders WHERE market_id = ANY($1::uuid[]) AND remaining_micros > 0 GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A market with its book in YES prices, of one moment."""

    market: Market
    shard_id: int
    epoch: int
    bids: dict[int, int]
    asks: dict[int, int]


@dataclass(frozen=True, slots=True)
class Head:
    """How far a market is."""

    market_id: str
    seq: int
    status: str
    reason: str
    terms: str = ""
    """What may change in an open market's terms, as one text; only where a sweep reads it."""

    @property
    def is_hidden(self) -> bool:
        """A DRAFT, and one that was withdrawn, are there for admins only."""
        return is_hidden(self.status, self.reason)

    @property
    def is_live(self) -> bool:
        return self.status in LIVE


def is_hidden(status: str, reason: str) -> bool:
    return status == MarketStatus.DRAFT or reason == "DELETED"


class Store:
    """Reads; raises what a lost or busy database raises (UNAVAILABLE to callers)."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def snapshots(self, market_ids: Sequence[str] | None) -> list[Snapshot]:
        """Of these markets, or of all live ones."""
        condition = (
            "m.market_id = ANY($1::uuid[])" if market_ids is not None else "m.status = ANY($1::text[])"
        )
        async with self.one_moment() as connection:
            rows = await connection.fetch(
                f"SELECT m.*, s.epoch FROM markets m JOIN shards s USING (shard_id) WHERE {condition}",
                market_ids if market_ids is not None else list(LIVE),
            )
            found = {row["market_id"]: _snapshot(row) for row in rows}
            for level in await connection.fetch(_LEVELS, list(found)):
                snapshot = found[level["market_id"]]
                side = snapshot.bids if level["is_bid"] else snapshot.asks
                side[level["price"]] = level["quantity"]
        return list(found.values())

    async def heads(self, market_ids: Sequence[str]) -> dict[str, Head]:
        """Those that are there."""
        rows = await self.fetch(
            "SELECT market_id, seq, status, reason FROM markets WHERE market_id = ANY($1::uuid[])", market_ids
        )
        return {head.market_id: head for head in map(_head, rows)}

    async def changed_since(self, time: int) -> tuple[int, list[Head]]:
        """PostgreSQL's clock, and the markets with an event at or after `time`."""
        now: int = await self.fetchval(f"SELECT {_NOW}")
        rows = await self.fetch(
            "SELECT market_id, seq, status, reason, closes_at || description AS terms FROM markets"
            " WHERE updated_at >= $1",
            time,
        )
        return now, [_head(row, terms=row["terms"]) for row in rows]

    async def events_after(self, market_id: str, seq: int) -> tuple[int, list[Event]]:
        """PostgreSQL's clock, and the next events of a market, at most EVENTS_AT_ONCE."""
        rows = await self.fetch(
            f"SELECT {_NOW} AS now, e.payload FROM (SELECT) one LEFT JOIN LATERAL (SELECT seq, payload FROM events"
            " WHERE market_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) e ON true ORDER BY e.seq",
            market_id,
            seq,
            EVENTS_AT_ONCE,
        )
        return rows[0]["now"], [decode(row["payload"]) for row in rows if row["payload"] is not None]

    async def market_state(self, market_id: str) -> MarketState | None:
        """A market with every open order and position; None: not there."""
        async with self.one_moment() as connection:
            return await load_market(connection, market_id)

    async def market_row(self, market_id: str) -> Row | None:
        """A row of `markets`."""
        rows = await self.fetch("SELECT * FROM markets WHERE market_id = $1", market_id)
        return rows[0] if rows else None

    async def available(self, user_id: str) -> int:
        """Points free to spend."""
        value: int | None = await self.fetchval(
            "SELECT available_micros FROM accounts WHERE user_id = $1", user_id
        )
        return value or 0

    async def fetch(self, text: str, *arguments: Any) -> list[Any]:
        async with self.pool.acquire(timeout=BORROW_SECONDS) as connection:
            return await connection.fetch(text, *arguments)

    async def fetchval(self, text: str, *arguments: Any) -> Any:
        async with self.pool.acquire(timeout=BORROW_SECONDS) as connection:
            return await connection.fetchval(text, *arguments)

    @asynccontextmanager
    async def one_moment(self) -> AsyncIterator[Connection]:
        """A connection whose statements all see the same moment."""
        async with (
            self.pool.acquire(timeout=BORROW_SECONDS) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield cast(Connection, connection)


def _snapshot(row: Row) -> Snapshot:
    return Snapshot(market_of(row), row["shard_id"], row["epoch"], {}, {})


def _head(row: Row, terms: str = "") -> Head:
    return Head(str(row["market_id"]), row["seq"], row["status"], row["reason"], terms)
