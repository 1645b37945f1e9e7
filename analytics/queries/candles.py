"""Candles of one market, computed from prices and trades whenever asked: nothing is kept that could count twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analytics.clickhouse import ClickHouse
from predmarket.analytics.v1 import analytics_pb2 as pb

STEP_MICROS: Final = {
    pb.INTERVAL_1M: 60_000_000,
    pb.INTERVAL_5M: 300_000_000,
    pb.INTERVAL_1H: 3_600_000_000,
    pb.INTERVAL_1D: 86_400_000_000,
}
LIMIT_MAX: Final = 1_000
LIMIT_USUAL: Final = 500

# Bid and ask are 0 while there is none: such moments are left out of theirs.
_PRICES: Final = """
SELECT intDiv(toUnixTimestamp64Micro(time), {step:Int64}) * {step:Int64} AS start,
       argMin(probability_micros, seq), max(probability_micros), min(probability_micros),
       argMax(probability_micros, seq),
       argMinIf(best_bid_micros, seq, best_bid_micros > 0), max(best_bid_micros),
       minIf(best_bid_micros, best_bid_micros > 0), argMaxIf(best_bid_micros, seq, best_bid_micros > 0),
       argMinIf(best_ask_micros, seq, best_ask_micros > 0), max(best_ask_micros),
       minIf(best_ask_micros, best_ask_micros > 0), argMaxIf(best_ask_micros, seq, best_ask_micros > 0),
       argMax(best_bid_micros, seq), argMax(best_ask_micros, seq)
FROM prices
WHERE market_id = {market:UUID}
  AND time >= fromUnixTimestamp64Micro({from:Int64}) AND time < fromUnixTimestamp64Micro({to:Int64})
GROUP BY start ORDER BY start
SETTINGS final = 0
"""

_BEFORE: Final = """
SELECT probability_micros, best_bid_micros, best_ask_micros FROM prices
WHERE market_id = {market:UUID} AND time < fromUnixTimestamp64Micro({from:Int64})
ORDER BY market_id DESC, seq DESC LIMIT 1
SETTINGS final = 0
"""

_TRADES: Final = """
SELECT intDiv(toUnixTimestamp64Micro(time), {step:Int64}) * {step:Int64} AS start,
       sumIf(quantity_micros, venue = 'BOOK'), sumIf(quantity_micros, venue = 'POOL'),
       sumIf(quantity_micros, (taker_side = 'BUY') = (outcome = 'YES')),
       sumIf(quantity_micros, (taker_side = 'BUY') != (outcome = 'YES')), count()
FROM trades
WHERE market_id = {market:UUID}
  AND time >= fromUnixTimestamp64Micro({from:Int64}) AND time < fromUnixTimestamp64Micro({to:Int64})
GROUP BY start
"""


@dataclass(frozen=True, slots=True)
class Span:
    """Which candles: those that start at or after `from_time` and before `to_time` (micros)."""

    step: int
    from_time: int
    to_time: int


def span(interval: pb.Interval, from_time: int, to_time: int, limit: int) -> Span:
    """`limit` intervals at most: the last ones. 0 for `from_time` is that many."""
    step = STEP_MICROS[interval]
    first_allowed = -(-to_time // step) * step - limit * step
    from_time = max(0, first_allowed, -(-from_time // step) * step)
    return Span(step, from_time, to_time)


async def candles(clickhouse: ClickHouse, market_id: str, which: Span) -> list[pb.Candle]:
    """Oldest first. An opening figure is the one that was in force: the close before."""
    end = -(-which.to_time // which.step) * which.step
    parameters = {"market": market_id, "step": which.step, "from": which.from_time, "to": end}
    prices = await clickhouse.rows(_PRICES, parameters)
    if not prices:
        return []
    before = await clickhouse.rows(_BEFORE, parameters)
    traded = {row[0]: row[1:] for row in await clickhouse.rows(_TRADES, parameters)}
    in_force = before[0] if before else (0, 0, 0)
    made = []
    for start, *figures, last_bid, last_ask in prices:
        book, pool, up, down, trades = traded.get(start, (0, 0, 0, 0, 0))
        made.append(
            pb.Candle(
                start=start,
                price=_ohlc(in_force[0], figures[0:4]),
                bid=_ohlc(in_force[1], figures[4:8]),
                ask=_ohlc(in_force[2], figures[8:12]),
                volume_book_micros=book,
                volume_pool_micros=pool,
                volume_up_micros=up,
                volume_down_micros=down,
                trades=trades,
            )
        )
        in_force = (figures[3], last_bid, last_ask)
    return made


def _ohlc(before: int, figures: list[int]) -> pb.Ohlc:
    """`before`: in force at the beginning, 0 for none. `figures`: first, highest, lowest, last since; 0 for none."""
    first, high, low, last = figures
    if not before:
        return pb.Ohlc(open_micros=first, high_micros=high, low_micros=low, close_micros=last)
    return pb.Ohlc(
        open_micros=before,
        high_micros=max(before, high),
        low_micros=min(before, low or before),
        close_micros=last or before,
    )
