"""Who gained or traded most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from analytics.clickhouse import ClickHouse
from engine.commands import TREASURY_ID
from predmarket.analytics.v1 import analytics_pb2 as pb

LIMIT_MAX: Final = 200
LIMIT_USUAL: Final = 50
PERIOD_MICROS: Final = {
    pb.PERIOD_DAILY: 86_400_000_000,
    pb.PERIOD_WEEKLY: 7 * 86_400_000_000,
    pb.PERIOD_ALL: None,
}

# Per user and market: Points that came in since, and shares now and then, each at the price of its moment. Shares times
# price passes 64 bits.
_PROFIT: Final = """
WITH fromUnixTimestamp64Micro({since:Int64}) AS since
SELECT toString(user_id), toInt64(sum(gain)) AS profit, sum(fills) AS filled, sum(volume) FROM (
    SELECT user_id,
           points + intDiv(toInt128(yes_now) * now.p + toInt128(no_now) * (1000000 - now.p), 1000000)
                  - intDiv(toInt128(yes_then) * then.p + toInt128(no_then) * (1000000 - then.p), 1000000) AS gain,
           0 AS fills, 0 AS volume
    FROM (
        SELECT user_id, market_id, sumIf(points_micros, time >= since) AS points,
               sum(yes_micros) AS yes_now, sum(no_micros) AS no_now,
               sumIf(yes_micros, time < since) AS yes_then, sumIf(no_micros, time < since) AS no_then
        FROM ledger
        WHERE kind != 'GRANT_POINTS' AND user_id NOT IN (toUUID({treasury:String}), toUUID({nobody:String}))
        GROUP BY user_id, market_id
    ) AS held
    LEFT JOIN (SELECT market_id, argMax(probability_micros, seq) AS p FROM prices GROUP BY market_id) AS now
        USING (market_id)
    LEFT JOIN (
        SELECT market_id, argMax(probability_micros, seq) AS p FROM prices WHERE time < since GROUP BY market_id
    ) AS then USING (market_id)
    UNION ALL
    SELECT user_id, toInt128(0), count(), sum(cost_micros) FROM fills
    WHERE time >= since AND user_id != toUUID({treasury:String}) GROUP BY user_id
)
GROUP BY user_id ORDER BY profit DESC, user_id LIMIT {limit:UInt32}
"""

_VOLUME: Final = """
SELECT toString(user_id), 0, count(), sum(cost_micros) AS volume FROM fills
WHERE time >= fromUnixTimestamp64Micro({since:Int64}) AND user_id != toUUID({treasury:String})
GROUP BY user_id ORDER BY volume DESC, user_id LIMIT {limit:UInt32}
"""


async def leaders(
    clickhouse: ClickHouse, metric: pb.Metric, period: pb.Period, now: int
) -> list[pb.LeaderboardRow]:
    """The first LIMIT_MAX, without names."""
    length = PERIOD_MICROS[period]
    parameters = {
        "since": 0 if length is None else now - length,
        "treasury": TREASURY_ID,
        "nobody": "00000000-0000-0000-0000-000000000000",
        "limit": LIMIT_MAX,
    }
    by_profit = metric == pb.METRIC_PROFIT
    rows = await clickhouse.rows(_PROFIT if by_profit else _VOLUME, parameters)
    return _ranked(rows, 1 if by_profit else 3, by_profit)


def _ranked(rows: Sequence[Sequence[Any]], column: int, by_profit: bool) -> list[pb.LeaderboardRow]:
    """Equal figures share the rank of the first of them."""
    ranked: list[pb.LeaderboardRow] = []
    rank, before = 0, None
    for place, row in enumerate(rows, 1):
        if row[column] != before:
            rank, before = place, row[column]
        user_id, profit, fills, volume = row
        shown = {"profit_micros": profit} if by_profit else {"volume_micros": volume}
        ranked.append(pb.LeaderboardRow(rank=rank, user_id=user_id, fills=fills, **shown))
    return ranked
