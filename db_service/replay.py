"""The events folded from zero, and the hash of the state they give beside that of the state in Postgres."""

from __future__ import annotations

from dataclasses import dataclass

from db_service.store.loading import load_market
from engine.core import is_system_stream
from engine.events import decode
from engine.hashing import state_hash
from engine.replay import fold
from engine.state import MarketState, ShardState
from runtime.postgres import Connection, connect

STATEMENT_SECONDS = 600.0
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Replayed:
    """One market. `stored_hash` is empty when the replay was told to stop before the last event."""

    market_id: str
    seq: int
    replayed_hash: str
    stored_hash: str

    @property
    def same(self) -> bool:
        return not self.stored_hash or self.stored_hash == self.replayed_hash


async def replay(database_url: str, market_id: str = "", until_seq: int = 0) -> list[Replayed]:
    """One market, or all. `until_seq`: stop after this event; 0: replay all. Raises engine.replay.BrokenLog."""
    connection = await connect(
        database_url, name="replay", command_timeout_seconds=STATEMENT_SECONDS, wait=False
    )
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return [
                await _replay_one(connection, market, until_seq)
                for market in await _markets(connection, market_id)
            ]
    finally:
        await connection.close()


async def fold_market(connection: Connection, market_id: str, until_seq: int = 0) -> MarketState | None:
    """The state of a market after an event (0: its last); None: there are no events."""
    shard, seq = ShardState(), 0
    while True:
        rows = await connection.fetch(
            "SELECT seq, payload FROM events WHERE market_id = $1 AND seq > $2 AND ($3 = 0 OR seq <= $3)"
            " ORDER BY seq LIMIT $4",
            market_id,
            seq,
            until_seq,
            CHUNK,
        )
        if not rows:
            return shard.markets.get(market_id)
        for row in rows:
            fold(shard, decode(row["payload"]))
        seq = rows[-1]["seq"]


async def _markets(connection: Connection, market_id: str) -> list[str]:
    rows = await connection.fetch(
        "SELECT DISTINCT market_id FROM events WHERE $1 = '' OR market_id::text = $1 ORDER BY market_id",
        market_id,
    )
    return [found for row in rows if not is_system_stream(found := str(row["market_id"]))]


async def _replay_one(connection: Connection, market_id: str, until_seq: int) -> Replayed:
    state = await fold_market(connection, market_id, until_seq)
    stored = await load_market(connection, market_id)
    if state is None:
        return Replayed(market_id, 0, "", "")
    stopped_early = stored is not None and until_seq and state.market.seq < stored.market.seq
    stored_hash = "" if stopped_early else (state_hash(stored) if stored else "(no row)")
    return Replayed(market_id, state.market.seq, state_hash(state), stored_hash)
