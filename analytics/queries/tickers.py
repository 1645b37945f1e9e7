"""Markets now and over the last 24 hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from analytics.clickhouse import ClickHouse
from predmarket.analytics.v1 import analytics_pb2 as pb

DAY_MICROS: Final = 86_400_000_000
MARKETS_MAX: Final = 200
MARKETS_USUAL: Final = 50

_PRICES: Final = """
WITH fromUnixTimestamp64Micro({since:Int64}) AS since,
     time >= since AS is_new,
     (seq, probability_micros, best_bid_micros, best_ask_micros, mid_micros, last_price_micros,
      open_interest_micros, volume_micros, toUnixTimestamp64Micro(time)) AS figures
SELECT toString(market_id), argMax(figures, seq),
       countIf(NOT is_new), argMaxIf(probability_micros, seq, NOT is_new), argMaxIf(volume_micros, seq, NOT is_new),
       argMin(probability_micros, seq),
       countIf(is_new), maxIf(probability_micros, is_new), minIf(probability_micros, is_new)
FROM prices WHERE market_id IN {markets:Array(UUID)}
GROUP BY market_id
SETTINGS final = 0
"""

_TRADES: Final = """
SELECT toString(market_id), count() FROM trades
WHERE market_id IN {markets:Array(UUID)} AND time >= fromUnixTimestamp64Micro({since:Int64})
GROUP BY market_id
"""

_MOST_TRADED: Final = """
SELECT toString(m.market_id) FROM (SELECT DISTINCT market_id FROM markets WHERE status = 'ACTIVE') AS m
LEFT JOIN (
    SELECT market_id, sum(quantity_micros) AS traded FROM trades
    WHERE time >= fromUnixTimestamp64Micro({since:Int64}) GROUP BY market_id
) AS t USING (market_id)
ORDER BY t.traded DESC, m.market_id LIMIT {limit:UInt32}
"""


async def tickers(clickhouse: ClickHouse, market_ids: Sequence[str], now: int) -> list[pb.Ticker]:
    """Of those markets that have a price, in this order."""
    parameters = {"markets": list(market_ids), "since": now - DAY_MICROS}
    prices = {row[0]: row[1:] for row in await clickhouse.rows(_PRICES, parameters)}
    trades = {row[0]: row[1] for row in await clickhouse.rows(_TRADES, parameters)}
    return [
        _ticker(market_id, prices[market_id], trades.get(market_id, 0))
        for market_id in dict.fromkeys(market_ids)
        if market_id in prices
    ]


async def most_traded(clickhouse: ClickHouse, limit: int, now: int) -> list[str]:
    """Ids of opened markets, those with the highest volume of 24 hours first."""
    rows = await clickhouse.rows(_MOST_TRADED, {"since": now - DAY_MICROS, "limit": limit})
    return [row[0] for row in rows]


def _ticker(market_id: str, row: Sequence[Any], trades: int) -> pb.Ticker:
    latest, older, old_probability, old_volume, first_probability, newer, high, low = row
    seq, probability, bid, ask, mid, last_price, interest, volume, time = latest
    then = old_probability if older else first_probability
    return pb.Ticker(
        market_id=market_id,
        seq=seq,
        probability_micros=probability,
        best_bid_micros=bid,
        best_ask_micros=ask,
        mid_micros=mid,
        last_price_micros=last_price,
        change_24h_micros=probability - then,
        high_24h_micros=max(high, then) if newer else then,
        low_24h_micros=min(low, then) if newer else then,
        volume_24h_micros=volume - (old_volume if older else 0),
        trades_24h=trades,
        volume_micros=volume,
        open_interest_micros=interest,
        time=time,
    )
