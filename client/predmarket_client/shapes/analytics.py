"""Figures over time."""

from datetime import datetime
from typing import Literal

import msgspec

from predmarket_client.shapes.markets import Level, Pool

Interval = Literal["1m", "5m", "1h", "1d"]
Metric = Literal["profit", "volume"]
Period = Literal["daily", "weekly", "all"]


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """One interval, in micros: the probability, the best bid and ask of book and pool in YES prices (None: there was
    none), and the shares traded. Up: takers bought YES or sold NO."""

    start: datetime
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    bid_open_micros: int | None
    bid_high_micros: int | None
    bid_low_micros: int | None
    bid_close_micros: int | None
    ask_open_micros: int | None
    ask_high_micros: int | None
    ask_low_micros: int | None
    ask_close_micros: int | None
    volume_book_micros: int
    volume_pool_micros: int
    volume_up_micros: int
    volume_down_micros: int
    trades: int


class PastBook(msgspec.Struct, frozen=True, kw_only=True):
    """The book as it stood at a moment, in YES prices, best first. `seq`: the last event until then."""

    market_id: str
    seq: int
    time: datetime
    status: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    pool: Pool
    probability_micros: int


class LeaderboardRow(msgspec.Struct, frozen=True, kw_only=True):
    """One user's place; 1 is the best, equal figures share one. Only the metric that was asked for is there."""

    rank: int
    user_id: str
    display_name: str
    fills: int
    profit_micros: int | None = None
    """What all is worth now minus then, minus grants; shares at the probability."""
    volume_micros: int | None = None
    """Points of all fills, before fees."""


class Leaderboard(msgspec.Struct, frozen=True, kw_only=True):
    """Best first. `time`: when it was computed."""

    items: tuple[LeaderboardRow, ...]
    time: datetime


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Markets whose probability lay from one bound to the next, and how many of them became YES."""

    from_micros: int
    to_micros: int
    markets: int
    resolved_yes: int
    mean_probability_micros: int | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How often YES came, against how probable it was held. `brier_micros`: the mean of (probability - outcome)^2 in
    millionths, 250,000 for a constant 50 %; None while no market is resolved."""

    markets: int
    brier_micros: int | None
    bins: tuple[CalibrationBin, ...]
