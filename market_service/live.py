"""A replica of one live market for all but quotes: its row, its levels and its pool, as event `seq` left them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from engine import depth
from engine.depth import Depth
from engine.events import Event
from engine.published_book import Book, BookMessage, Figures
from engine.replay import market_values
from engine.state import Market, MarketStatus, Outcome
from engine.units import MICROS
from market_service.store import LIVE, Snapshot

HELD_MAX: Final = 1_000
"""Messages kept while the market is read anew; what does not fit is read from PostgreSQL."""


class Watch:
    """Somebody who wants to know when one of some markets has changed."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self._woken = asyncio.Event()

    def wake(self, market_id: str) -> None:
        self.changed.add(market_id)
        self._woken.set()

    async def wait(self) -> set[str]:
        """The markets changed since the last time; at least one."""
        await self._woken.wait()
        self._woken.clear()
        changed, self.changed = self.changed, set()
        return changed


class LiveMarket:
    """Used on the loop's thread only. Changes come as the bus' messages or as events; each change is a later `seq`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.market_id = snapshot.market.market_id
        self.watches: set[Watch] = set()
        self.is_loading = False
        self.held: deque[BookMessage] = deque(maxlen=HELD_MAX)
        self._merged: dict[int, tuple[int, Depth]] = {}
        self.shard_id = snapshot.shard_id
        self.market: Market = snapshot.market
        self.book: Book = _book_of(snapshot)

    @property
    def seq(self) -> int:
        return self.book.seq

    @property
    def is_live(self) -> bool:
        return self.market.status in LIVE

    @property
    def terms(self) -> str:
        """As `Head.terms`."""
        return f"{self.market.closes_at}{self.market.description}"

    def take(self, snapshot: Snapshot) -> None:
        """Everything, as it was read; not older than what is known."""
        assert snapshot.market.seq >= self.seq
        self.market, self.book = snapshot.market, _book_of(snapshot)
        self._changed()

    def is_gap(self, message: BookMessage) -> bool:
        """Something between is missing."""
        return message.prev_seq > self.seq

    def apply(self, message: BookMessage) -> None:
        """A message of the bus that is no gap. Later owners' messages chain too: only what is durable is published."""
        assert not self.is_gap(message)
        if message.seq <= self.seq:
            return
        figures = message.figures
        market = self.market
        market.status = MarketStatus(figures.status)
        market.pool_yes, market.pool_no = message.pool_yes_micros, message.pool_no_micros
        market.collateral, market.volume = figures.collateral_micros, figures.volume_micros
        market.last_price_micros = figures.last_price_micros
        self._follow(message)

    def fold(self, event: Event) -> None:
        """The next event, from PostgreSQL."""
        assert event.seq == self.seq + 1
        after = event.effects.market
        if after is not None:
            self.market.restore(market_values(after, self.market))
        self._follow(_message_of(event, self.market))

    def depth(self, levels: int, *, merged: bool) -> Depth:
        """The book; merged ones are kept until the next event."""
        book, market = self.book, self.market
        if not merged:
            return depth.plain(book.bids, book.asks, levels)
        kept = self._merged.get(levels)
        if kept is not None and kept[0] == self.seq:
            return kept[1]
        if len(self._merged) > 8:
            self._merged.clear()
        made = depth.merged(
            book.bids,
            book.asks,
            pool_yes=market.pool_yes,
            pool_no=market.pool_no,
            tick=market.tick_micros,
            depth=levels,
        )
        self._merged[levels] = (self.seq, made)
        return made

    def _follow(self, message: BookMessage) -> None:
        self.market.seq, self.market.updated_at = message.seq, message.time
        self.book.epoch = max(self.book.epoch, message.epoch)
        self.book.apply(message)
        self.book.take_delta()  # nobody reads differences here, and they would grow
        self._changed()

    def _changed(self) -> None:
        for watch in self.watches:
            watch.wake(self.market_id)


def _book_of(snapshot: Snapshot) -> Book:
    market = snapshot.market
    return Book(
        epoch=snapshot.epoch,
        seq=market.seq,
        time=market.updated_at,
        bids=snapshot.bids,
        asks=snapshot.asks,
        pool_yes_micros=market.pool_yes,
        pool_no_micros=market.pool_no,
    )


def _message_of(event: Event, market: Market) -> BookMessage:
    bids, asks = {}, {}
    for level in event.effects.levels:
        if level.outcome is Outcome.YES:
            bids[level.bid_micros] = level.quantity
        else:
            asks[MICROS - level.bid_micros] = level.quantity
    return BookMessage(
        epoch=event.epoch,
        prev_seq=event.seq - 1,
        seq=event.seq,
        time=event.time,
        bids=bids,
        asks=asks,
        pool_yes_micros=market.pool_yes,
        pool_no_micros=market.pool_no,
        figures=Figures(
            seq=event.seq,
            probability_micros=market.probability_micros,
            last_price_micros=market.last_price_micros,
            collateral_micros=market.collateral,
            volume_micros=market.volume,
            status=str(market.status),
        ),
    )
