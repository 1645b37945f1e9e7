"""What analytics must answer, computed from PostgreSQL: candles of every market, and books at past moments."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Final

from analytics.queries.candles import LIMIT_MAX, STEP_MICROS
from db_service.topics.head import MarketHead
from db_service.topics.reading import head_at
from engine.events import decode
from predmarket.analytics.v1 import analytics_pb2 as pb
from predmarket.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub
from runtime.grpc_client import call
from runtime.postgres import Pool
from runtime.topics import Topic
from tests.analytics.by_hand import CandlesByHand

TRADES_SQL: Final = (
    "SELECT time, venue, taker_side, outcome, quantity_micros FROM trades WHERE market_id = $1"
)
EVENTS_SQL: Final = "SELECT payload FROM events WHERE market_id = $1 ORDER BY seq"
EVENTS_PER_READ: Final = 500
MOMENTS: Final = 100
ANSWER_SECONDS: Final = 60


class Expected:
    """Asks analytics (`stub`) and reads PostgreSQL (`pool`)."""

    def __init__(self, pool: Pool, stub: AnalyticsServiceStub) -> None:
        self._pool = pool
        self._stub = stub
        self.candles = 0
        """Compared so far."""

    async def different_candles(self, market_id: str) -> list[str]:
        """Of all intervals."""
        by_hand = {interval: CandlesByHand(step) for interval, step in STEP_MICROS.items()}
        async for time, figures in self._prices(market_id):
            for candles in by_hand.values():
                candles.price(time, figures)
        for row in await self._pool.fetch(TRADES_SQL, market_id):
            for candles in by_hand.values():
                candles.trade(*row)
        different = []
        for interval, candles in by_hand.items():
            expected = candles.made()
            self.candles += len(expected)
            asked = pb.ListCandlesRequest(
                market_id=market_id, interval=interval, from_time=expected[0].start, limit=LIMIT_MAX
            )
            found = await call(self._stub.ListCandles, asked, deadline_seconds=ANSWER_SECONDS)
            if list(found.candles) != expected:
                different.append(f"{pb.Interval.Name(interval)} candles of {market_id}")
        return different

    async def different_books(self, markets: Sequence[str], source: random.Random) -> list[str]:
        """At random moments of random markets."""
        found = [await self._different_book(source.choice(markets), source) for _ in range(MOMENTS)]
        return [each for each in found if each]

    async def _different_book(self, market_id: str, source: random.Random) -> str:
        """Which one, or nothing where it is as it must be."""
        span = await self._pool.fetchrow(
            "SELECT min(time), max(time) FROM events WHERE market_id = $1 AND kind <> 'CREATE_MARKET'",
            market_id,
        )
        assert span is not None
        at = source.randint(*span)
        seq = await self._pool.fetchval(
            "SELECT max(seq) FROM events WHERE market_id = $1 AND time <= $2", market_id, at
        )
        head = await head_at(self._pool, market_id, seq)
        assert head.after is not None
        asked = pb.GetBookAtRequest(market_id=market_id, time=at)
        book = await call(self._stub.GetBookAt, asked, deadline_seconds=ANSWER_SECONDS)
        bids, asks = (
            [(level.price_micros, level.quantity_micros) for level in side] for side in (book.bids, book.asks)
        )
        is_same = (
            book.seq == seq
            and bids == sorted(head.bids.items(), reverse=True)
            and asks == sorted(head.asks.items())
            and (book.pool_yes_micros, book.pool_no_micros) == (head.after.pool_yes, head.after.pool_no)
        )
        return "" if is_same else f"book of {market_id} at event {seq}"

    async def _prices(self, market_id: str) -> AsyncIterator[tuple[int, tuple[int, int, int]]]:
        """Time, P_YES, best bid and best ask (0: none) after each event that may have moved one."""
        head = MarketHead(market_id)
        async with self._pool.acquire() as connection, connection.transaction():
            async for row in connection.cursor(EVENTS_SQL, market_id, prefetch=EVENTS_PER_READ):
                event = decode(row["payload"])
                if Topic.PRICE_UPDATES in head.apply(event):
                    bid, ask = head.best()
                    yield event.time, (head.probability_micros, bid or 0, ask or 0)
