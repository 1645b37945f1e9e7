"""How good the probabilities of resolved markets were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from analytics.clickhouse import ClickHouse
from engine.units import MICROS
from predmarket.analytics.v1 import analytics_pb2 as pb

BINS: Final = 10
HOURS_MAX: Final = 8_760
HOUR_MICROS: Final = 3_600_000_000

_FORECASTS: Final = """
WITH toUnixTimestamp64Micro(d.time) - {before:Int64} AS at
SELECT any(d.outcome) = 'YES',
       if(countIf(toUnixTimestamp64Micro(p.time) <= at) > 0,
          argMaxIf(p.probability_micros, p.seq, toUnixTimestamp64Micro(p.time) <= at),
          argMin(p.probability_micros, p.seq))
FROM prices AS p
JOIN (
    SELECT market_id, seq, time, outcome FROM resolutions WHERE step = 'DECISION' AND outcome IN ('YES', 'NO')
) AS d USING (market_id)
WHERE p.seq < d.seq
GROUP BY p.market_id
SETTINGS final = 0
"""


async def calibration(clickhouse: ClickHouse, hours_before: int) -> pb.GetCalibrationResponse:
    """Over every market resolved YES or NO that had a price."""
    rows = await clickhouse.rows(_FORECASTS, {"before": hours_before * HOUR_MICROS})
    return judged([(bool(came_true), probability) for came_true, probability in rows])


def judged(forecasts: Sequence[tuple[bool, int]]) -> pb.GetCalibrationResponse:
    """(whether YES came, P_YES) of each market. Means are rounded down."""
    errors = sum((probability - (MICROS if came_true else 0)) ** 2 for came_true, probability in forecasts)
    count = len(forecasts)
    return pb.GetCalibrationResponse(
        markets=count, brier_micros=errors // (count * MICROS) if count else 0, bins=_bins(forecasts)
    )


def _bins(forecasts: Sequence[tuple[bool, int]]) -> list[pb.CalibrationBin]:
    width = MICROS // BINS
    bins = []
    for number in range(BINS):
        inside = [
            (came_true, probability)
            for came_true, probability in forecasts
            if min(probability // width, BINS - 1) == number
        ]
        total = sum(probability for _, probability in inside)
        bins.append(
            pb.CalibrationBin(
                from_micros=number * width,
                to_micros=(number + 1) * width,
                markets=len(inside),
                resolved_yes=sum(came_true for came_true, _ in inside),
                mean_probability_micros=total // len(inside) if inside else 0,
            )
        )
    return bins
