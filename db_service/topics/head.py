"""What must be known of a market before an event to tell the topics of it: its levels, and its last messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from engine.core import is_system_stream
from engine.depth import merged
from engine.events import Event, LevelAfter, MarketAfter
from engine.pool import probability
from engine.state import MarketStatus, Outcome
from engine.units import MICROS
from runtime.topics import Topic

CHECKPOINT_EVENTS: Final = 1_000
"""A market's head is kept at every thousandth event, so that finding it later folds at most as many."""

_NO_PRICE_MOVES: Final = frozenset({"PAY_HOLDERS", "SWEEP_MARKET"})
"""These change the market's money after, or beside, its trading."""


class MarketHead(Struct):
    """A market as event `seq` left it. Going on is assignment, as in all folding of events."""

    market_id: str
    seq: int = 0
    last_seqs: dict[Topic, int] = {}
    """Of each topic, the last event that has messages in it."""
    tick_micros: int = 0
    after: MarketAfter | None = None
    """None: a system stream, or a market before its first event."""
    bids: dict[int, int] = {}
    """Open quantity (micro-shares) by price, in YES prices."""
    asks: dict[int, int] = {}

    def apply(self, event: Event) -> Mapping[Topic, int]:
        """Go on to the next event; returns its `prev_seq` in each topic that tells of it."""
        follows = event.market_id == self.market_id and event.seq == self.seq + 1
        assert follows, "events follow each other"
        self.seq = event.seq
        if event.effects.market is not None and not is_system_stream(event.market_id):
            self.after = event.effects.market
            if self.after.terms is not None:
                self.tick_micros = self.after.terms.tick_micros
        for level in event.effects.levels:
            self._set(level)
        previous = {topic: self.last_seqs.get(topic, 0) for topic in topics_of(event)}
        for topic in previous:
            self.last_seqs[topic] = event.seq
        return previous

    def best(self) -> tuple[int | None, int | None]:
        """The best bid and ask, in YES prices, of book and pool together, as in tickers; None: nobody bids, or asks."""
        assert self.after is not None, "only a market has prices"
        depth = merged(
            self.bids,
            self.asks,
            pool_yes=self.after.pool_yes,
            pool_no=self.after.pool_no,
            tick=self.tick_micros,
            depth=1,
        )
        bid, ask = next(iter(depth.bids), None), next(iter(depth.asks), None)
        return (bid.price if bid else None), (ask.price if ask else None)

    @property
    def probability_micros(self) -> int:
        """P_YES of the pool, or the last one of a closed pool; 0: a market that was never opened."""
        after = self.after
        if after is None:
            return 0
        if after.pool_yes and after.pool_no:
            return probability(after.pool_yes, after.pool_no)
        return after.closing_probability_micros

    def _set(self, level: LevelAfter) -> None:
        is_bid = level.outcome is Outcome.YES
        side = self.bids if is_bid else self.asks
        price = level.bid_micros if is_bid else MICROS - level.bid_micros
        if level.quantity:
            side[price] = level.quantity
        else:
            side.pop(price, None)


class Checkpoint(NamedTuple):
    """A head, as it is kept (JSON)."""

    market_id: str
    seq: int
    text: str


def topics_of(event: Event) -> list[Topic]:
    """Which topics have a message of this event: a question to the event alone."""
    effects = event.effects
    topics = [Topic.MARKET_EVENTS]
    if effects.fills:
        topics.append(Topic.FILLS)
    if effects.orders:
        topics.append(Topic.ORDER_EVENTS)
    if _can_move_a_price(event):
        topics.append(Topic.PRICE_UPDATES)
    return topics


def _can_move_a_price(event: Event) -> bool:
    """Level, pool or last trade changed, or may have; a DRAFT has no price."""
    after = event.effects.market
    if after is None:
        return bool(event.effects.levels)
    return event.kind not in _NO_PRICE_MOVES and after.status != MarketStatus.DRAFT and _was_opened(after)


def _was_opened(after: MarketAfter) -> bool:
    """A withdrawn DRAFT ends CANCELLED without ever having had a pool."""
    return bool(after.pool_yes)


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(MarketHead)


def checkpoint_of(head: MarketHead) -> Checkpoint:
    return Checkpoint(head.market_id, head.seq, _encoder.encode(head).decode())


def head_of(text: str) -> MarketHead:
    return _decoder.decode(text)
