"""Streams: the present state first, then what differs from what was sent last. So a slow reader's changes collapse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from engine.depth import Depth, Level
from market_service import render
from market_service.day import Days
from market_service.live import LiveMarket, Watch
from market_service.markets import Markets
from market_service.metrics import STREAMS
from predmarket.market.v1 import market_pb2
from runtime.errors import ApiError, ErrorCode

PACE_SECONDS: Final = 0.05
"""At most one book, and one ticker of each market, in this time."""


class Feeds:
    """Bounded: at most `streams_max` at a time."""

    def __init__(self, markets: Markets, days: Days, streams_max: int) -> None:
        self._markets = markets
        self._days = days
        self._streams_max = streams_max
        self._open: set[asyncio.Event] = set()
        self._is_stopping = False

    async def stop(self) -> None:
        """Every stream ends with UNAVAILABLE, so that its reader asks another process."""
        self._is_stopping = True
        for ending in self._open:
            ending.set()

    async def prices(self, market_ids: Sequence[str]) -> AsyncIterator[market_pb2.StreamPricesResponse]:
        """Raises MARKET_NOT_FOUND, OVERLOADED."""
        with self._stream() as ending:
            watch, watched = Watch(), dict[str, LiveMarket]()
            sent: dict[str, market_pb2.Ticker] = {}
            try:
                for market_id in market_ids:
                    watched[market_id] = await self._markets.watch(market_id, watch)
                await self._days.know(market_ids)
                changed: set[str] = set(market_ids)
                while True:
                    for market_id in sorted(changed, key=market_ids.index):
                        market = watched[market_id]
                        ticker = render.ticker(market, self._days.of(market.market))
                        if _tells_more(ticker, sent.get(market_id)):
                            sent[market_id] = ticker
                            yield market_pb2.StreamPricesResponse(ticker=ticker)
                    await asyncio.sleep(PACE_SECONDS)
                    changed = await _unless(ending, watch)
            finally:
                for market in watched.values():
                    self._markets.unwatch(market, watch)

    async def book(
        self, market_id: str, depth: int, *, merged: bool
    ) -> AsyncIterator[market_pb2.StreamBookResponse]:
        """Raises MARKET_NOT_FOUND, OVERLOADED."""
        with self._stream() as ending:
            watch = Watch()
            market = await self._markets.watch(market_id, watch)
            try:
                sent, sent_seq = market.depth(depth, merged=merged), market.seq
                yield market_pb2.StreamBookResponse(is_snapshot=True, book=render.book(market, sent))
                while True:
                    await asyncio.sleep(PACE_SECONDS)
                    await _unless(ending, watch)
                    if market.seq == sent_seq:
                        continue
                    now = market.depth(depth, merged=merged)
                    delta = Depth(_changes(sent.bids, now.bids), _changes(sent.asks, now.asks))
                    message = market_pb2.StreamBookResponse(
                        prev_seq=sent_seq, book=render.book(market, delta)
                    )
                    sent, sent_seq = now, market.seq
                    yield message
            finally:
                self._markets.unwatch(market, watch)

    @contextmanager
    def _stream(self) -> Iterator[asyncio.Event]:
        if self._is_stopping:
            raise ApiError(ErrorCode.UNAVAILABLE)
        if len(self._open) >= self._streams_max:
            raise ApiError(ErrorCode.OVERLOADED)
        ending = asyncio.Event()
        self._open.add(ending)
        STREAMS.set(len(self._open))
        try:
            yield ending
        finally:
            self._open.discard(ending)
            STREAMS.set(len(self._open))


async def _unless(ending: asyncio.Event, watch: Watch) -> set[str]:
    """What has changed, as soon as something has. Raises UNAVAILABLE when the stream is to end."""
    waiting = asyncio.create_task(watch.wait())
    stopping = asyncio.create_task(ending.wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not waiting.done():
            waiting.cancel()
    if ending.is_set():
        raise ApiError(ErrorCode.UNAVAILABLE)
    return waiting.result()


def _tells_more(ticker: market_pb2.Ticker, before: market_pb2.Ticker | None) -> bool:
    """A later event that changed no figure does not count."""
    if before is None:
        return True
    same = market_pb2.Ticker()
    same.CopyFrom(ticker)
    same.seq, same.time = before.seq, before.time
    return same != before


def _changes(before: Sequence[Level], after: Sequence[Level]) -> tuple[Level, ...]:
    """Levels that are new or differ, and with nothing in them those that are gone."""
    known = {level.price: level for level in before}
    changed = [level for level in after if known.pop(level.price, None) != level]
    return (*changed, *(Level(price, 0, 0) for price in known))
