"""The book as it stood at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from analytics.clickhouse import ClickHouse
from engine.pool import probability
from predmarket.analytics.v1 import analytics_pb2 as pb

_HEAD: Final = """
SELECT seq, toUnixTimestamp64Micro(time) FROM market_events
WHERE market_id = {market:UUID} AND time <= fromUnixTimestamp64Micro({at:Int64})
ORDER BY market_id DESC, seq DESC LIMIT 1
SETTINGS final = 0
"""

_MARKET: Final = """
SELECT status, pool_yes_micros, pool_no_micros, closing_probability_micros FROM market_events
WHERE market_id = {market:UUID} AND seq <= {seq:UInt64} AND has_market
ORDER BY market_id DESC, seq DESC LIMIT 1
SETTINGS final = 0
"""

_LEVELS: Final = """
SELECT side, price_micros, argMax(quantity_micros, (seq, row)) AS quantity FROM book_deltas
WHERE market_id = {market:UUID} AND seq <= {seq:UInt64}
GROUP BY side, price_micros HAVING quantity > 0
ORDER BY price_micros
SETTINGS final = 0
"""


async def book_at(clickhouse: ClickHouse, market_id: str, at: int, depth: int) -> pb.GetBookAtResponse | None:
    """After every event up to `at` (micros); `depth` 0: all levels. None: the market was not yet, or never, opened."""
    head = await clickhouse.rows(_HEAD, {"market": market_id, "at": at})
    if not head:
        return None
    seq, time = head[0]
    parameters = {"market": market_id, "seq": seq}
    market = await clickhouse.rows(_MARKET, parameters)
    if not market:
        return None
    status, pool_yes, pool_no, closing = market[0]
    if not pool_yes and not closing:
        return None
    levels = await clickhouse.rows(_LEVELS, parameters)
    bids = [_level(row) for row in reversed(levels) if row[0] == "bid"]
    asks = [_level(row) for row in levels if row[0] == "ask"]
    return pb.GetBookAtResponse(
        market_id=market_id,
        seq=seq,
        time=time,
        status=status,
        bids=bids[: depth or None],
        asks=asks[: depth or None],
        pool_yes_micros=pool_yes,
        pool_no_micros=pool_no,
        probability_micros=probability(pool_yes, pool_no) if pool_yes else closing,
    )


def _level(row: Sequence[Any]) -> pb.Level:
    return pb.Level(price_micros=row[1], quantity_micros=row[2])
