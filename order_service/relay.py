"""Durable events to the bus, in commit order, at least once. PostgreSQL is the queue; NATS away never stops trading."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import nats.errors
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import Error as JetStreamError

from db_service.store import loading
from engine.core import is_system_stream
from engine.events import Event
from engine.pool import probability
from engine.state import MarketStatus
from order_service import messages
from order_service.bus import Bus
from order_service.event_queue import CursorMoved, EventQueue
from order_service.failpoints import FailPoints
from order_service.messages import MarketFigures, Message
from order_service.metrics import RELAY_BEHIND
from runtime.bus import ensure_stream
from runtime.logs import get_logger
from runtime.postgres import Pool
from runtime.surprises import AWAY

log = get_logger(__name__)

TARGET = "nats"
EVENTS_PER_PASS = 200
TRADES_PER_MESSAGE = 500
"""Some 200 KB; one event may have twice as many, below 512 KiB."""
RETRY_SECONDS = 0.5
RETRIED: tuple[type[BaseException], ...] = (*AWAY, nats.errors.Error, JetStreamError)
MAX_AGE_SECONDS = 24 * 3_600.0
LIFECYCLE = frozenset(
    {
        "EDIT_MARKET",
        "ACTIVATE_MARKET",
        "PAUSE_MARKET",
        "RESUME_MARKET",
        "RESOLVE_MARKET",
        "CANCEL_MARKET",
        "PAY_HOLDERS",
    }
)


def streams(max_bytes: int) -> list[StreamConfig]:
    """Both bounded: a reader that is too far behind reads PostgreSQL."""
    return [
        StreamConfig(
            name=name,
            subjects=[subject],
            max_bytes=max_bytes,
            max_age=MAX_AGE_SECONDS,
            storage=StorageType.FILE,
            duplicate_window=120,
        )
        for name, subject in (("MARKET_EVENTS", "market.>"), ("USER_EVENTS", "user.>"))
    ]


class Relay:
    """One shard's. What it remembers can be lost at any moment: it is read again."""

    def __init__(
        self, *, pool: Pool, bus: Bus, shard_id: int, max_bytes: int, fail_points: FailPoints
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._shard_id = shard_id
        self._max_bytes = max_bytes
        self._fail_points = fail_points
        self._queue = EventQueue(pool, shard_id, TARGET)
        self._figures: dict[str, MarketFigures] = {}
        self._last_trades: dict[str, int] = {}

    def committed(self, first_commit_seq: int, events: Sequence[Event]) -> None:
        """There is more: these events, or (none given) something to be read."""
        self._queue.committed(first_commit_seq, events)

    async def run(self) -> None:
        """For ever; whatever is away is waited for."""
        while True:
            try:
                await self._until_away()
            except CursorMoved:
                self._last_trades.clear()
            except RETRIED as error:
                if _is_cancelled():  # which nats-py tells by an error of its own
                    raise asyncio.CancelledError from None
                log.warning("the relay waits", shard=self._shard_id, error=f"{type(error).__name__}: {error}")
                self._last_trades.clear()
                await asyncio.sleep(RETRY_SECONDS)

    async def _until_away(self) -> None:
        stream = await self._bus.stream()
        for config in streams(self._max_bytes):
            await ensure_stream(stream, config)
        publisher = await self._bus.publisher()
        await self._queue.begin()
        while True:
            events = await self._queue.next(EVENTS_PER_PASS)
            RELAY_BEHIND.labels(str(self._shard_id)).set(len(events))
            if not events:
                await self._queue.rest()
                continue
            made = await self._messages(events)
            await publisher.publish([(message.subject, message.message_id, message.body) for message in made])
            self._fail_points.reach("published")
            await self._queue.done(events)

    async def _messages(self, events: Sequence[Event]) -> list[Message]:
        """Status and user messages in order; then each market's trades, and its book after all its events."""
        identities = await loading.orders_of(self._pool, events)
        by_market: dict[str, list[Event]] = {}
        made: list[Message] = []
        for event in events:
            if not is_system_stream(event.market_id):
                by_market.setdefault(event.market_id, []).append(event)
                made.extend(await self._status(event))
            made.extend(messages.users(event, identities))
        for market_id, its_events in by_market.items():
            for traded in _in_parts([event for event in its_events if event.effects.trades]):
                made.append(messages.trades(traded, await self._previous_trade(traded)))
            made.append(messages.book(its_events, await self._figures_of(market_id, its_events)))
        return made

    async def _previous_trade(self, events: Sequence[Event]) -> int:
        """The market's last event with trades before these, which follow each other."""
        market_id = events[0].market_id
        previous = self._last_trades.get(market_id)
        if previous is None:
            previous = await self._pool.fetchval(
                "SELECT coalesce(max(seq), 0) FROM trades WHERE market_id = $1 AND seq < $2",
                market_id,
                events[0].seq,
            )
        self._last_trades[market_id] = events[-1].seq
        assert previous is not None
        return previous

    async def _status(self, event: Event) -> list[Message]:
        """Of what the public may know: nothing of drafts."""
        after = event.effects.market
        if event.kind not in LIFECYCLE or after is None or after.status == MarketStatus.DRAFT:
            return []
        if event.kind == "PAY_HOLDERS" and not after.settled:
            return []
        closes_at = after.terms.closes_at if after.terms else await self._closes_at(event.market_id)
        return [messages.status(event, after, closes_at)]

    async def _closes_at(self, market_id: str) -> int:
        closes_at: int = await self._pool.fetchval(
            "SELECT closes_at FROM markets WHERE market_id = $1", market_id
        )
        return closes_at

    async def _figures_of(self, market_id: str, events: Sequence[Event]) -> MarketFigures:
        """As the last of these events left them; after a restart, where none says, as they are now."""
        for event in reversed(events):
            after = event.effects.market
            if after is not None:
                self._figures[market_id] = MarketFigures(
                    status=after.status,
                    pool_yes=after.pool_yes,
                    pool_no=after.pool_no,
                    probability_micros=_probability(
                        after.pool_yes, after.pool_no, after.closing_probability_micros
                    ),
                    last_price_micros=after.last_price_micros,
                    collateral=after.collateral,
                    volume=after.volume,
                )
                break
        if market_id not in self._figures:
            row = await self._pool.fetchrow(
                """
                SELECT status, pool_yes_micros, pool_no_micros, closing_probability_micros, last_price_micros,
                       collateral_micros, volume_micros
                FROM markets WHERE market_id = $1
                """,
                market_id,
            )
            assert row is not None
            self._figures[market_id] = MarketFigures(
                status=row["status"],
                pool_yes=row["pool_yes_micros"],
                pool_no=row["pool_no_micros"],
                probability_micros=_probability(
                    row["pool_yes_micros"], row["pool_no_micros"], row["closing_probability_micros"]
                ),
                last_price_micros=row["last_price_micros"],
                collateral=row["collateral_micros"],
                volume=row["volume_micros"],
            )
        return self._figures[market_id]


def _probability(pool_yes: int, pool_no: int, closing_micros: int) -> int:
    """Of the pool, or the last one of a closed pool; 0: a market that was never opened."""
    return probability(pool_yes, pool_no) if pool_yes and pool_no else closing_micros


def _in_parts(events: Sequence[Event]) -> list[list[Event]]:
    """Consecutive events, so many together that a message of their trades stays small; a large one alone."""
    parts: list[list[Event]] = []
    room = 0
    for event in events:
        room -= len(event.effects.trades)
        if room < 0 or not parts:
            parts.append([])
            room = TRADES_PER_MESSAGE - len(event.effects.trades)
        parts[-1].append(event)
    return parts


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
