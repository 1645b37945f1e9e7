"""Figures over time."""

from typing import Final

from pydantic import Field

from api_gateway.answers.base import Count, Id, Micros, Shape, Time
from predmarket.analytics.v1 import analytics_pb2

INTERVALS: Final = {
    "1m": analytics_pb2.INTERVAL_1M,
    "5m": analytics_pb2.INTERVAL_5M,
    "1h": analytics_pb2.INTERVAL_1H,
    "1d": analytics_pb2.INTERVAL_1D,
}
METRICS: Final = {"profit": analytics_pb2.METRIC_PROFIT, "volume": analytics_pb2.METRIC_VOLUME}
PERIODS: Final = {
    "daily": analytics_pb2.PERIOD_DAILY,
    "weekly": analytics_pb2.PERIOD_WEEKLY,
    "all": analytics_pb2.PERIOD_ALL,
}


class Candle(Shape):
    """One interval: P_YES, best bid and ask of book and pool (null: there was none), and what was traded."""

    start: Time
    open_micros: Count = Field(description="In force when the interval began, or the first there was.")
    high_micros: Count
    low_micros: Count
    close_micros: Count
    bid_open_micros: Count | None
    bid_high_micros: Count | None
    bid_low_micros: Count | None
    bid_close_micros: Count | None
    ask_open_micros: Count | None
    ask_high_micros: Count | None
    ask_low_micros: Count | None
    ask_close_micros: Count | None
    volume_book_micros: Count = Field(description="Shares traded on the book.")
    volume_pool_micros: Count = Field(description="Shares traded with the pool.")
    volume_up_micros: Count = Field(description="Of both: the taker bought YES or sold NO.")
    volume_down_micros: Count = Field(description="Of both: the taker sold YES or bought NO.")
    trades: Count


class Candles(Shape):
    """Oldest first; intervals in which nothing happened are left out."""

    items: list[Candle]


class LeaderboardRow(Shape):
    """One user's place. Only the metric that was asked for is there."""

    rank: Count = Field(description="1 is the best; equal figures share a rank.")
    user_id: Id
    display_name: str
    profit_micros: Micros = Field(
        default=0, description="What all is worth now minus then, minus grants; shares at P_YES."
    )
    volume_micros: Count = Field(default=0, description="Points of all fills, before fees.")
    fills: Count = Field(description="In the period.")


class Leaderboard(Shape):
    """Best first."""

    items: list[LeaderboardRow]
    time: Time = Field(description="When it was computed.")


class CalibrationBin(Shape):
    """Markets whose probability lay in one tenth."""

    from_micros: Count
    to_micros: Count
    markets: Count
    resolved_yes: Count
    mean_probability_micros: Count | None


class Calibration(Shape):
    """How often YES came, against how probable it was held."""

    markets: Count = Field(description="Resolved YES or NO.")
    brier_micros: Count | None = Field(
        description="Mean of (probability - outcome)^2 in millionths; a constant 50 % gets 250,000."
    )
    bins: list[CalibrationBin]
