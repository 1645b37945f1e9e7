"""Where each market stood 24 hours ago: what changes and volumes of a day are counted from.

P_YES and the volume move only with trades, and every event with trades carries the market after it; so the last one
before that moment says both, found by two indexes. The moment is cut to a minute, and what was true then stays true:
the answer is kept for an hour, for all processes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from engine.pool import probability
from engine.state import Market
from market_service.cache import HISTORY_SECONDS, Cache
from market_service.sharing import SingleFlight
from market_service.store import Store
from runtime.clock import Clock

MINUTE_MICROS: Final = 60_000_000
DAY_MICROS: Final = 86_400_000_000
KEPT_MAX: Final = 50_000
MARKETS_AT_ONCE: Final = 500

_SELECT: Final = """
    SELECT m.market_id::text, m.initial_probability_micros AS opening,
        (e.payload::json #>> '{effects,market,pool_yes}')::bigint AS pool_yes,
        (e.payload::json #>> '{effects,market,pool_no}')::bigint AS pool_no,
        (e.payload::json #>> '{effects,market,volume}')::bigint AS volume
    FROM markets m
    LEFT JOIN LATERAL (
        SELECT seq FROM trades t WHERE t.market_id = m.market_id AND t.time <= $2
        ORDER BY t.time DESC, t.seq DESC LIMIT 1
    ) last ON true
    LEFT JOIN events e ON e.market_id = m.market_id AND e.seq = last.seq
    WHERE m.market_id = ANY($1::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Yesterday:
    """A market 24 hours ago, or at its opening where that is later."""

    probability_micros: int
    volume_micros: int


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What a day added up to."""

    change_micros: int
    volume_micros: int


class Days:
    """Answers for what it was asked to `know`; at most a minute old."""

    def __init__(self, store: Store, cache: Cache, clock: Clock) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self._kept: OrderedDict[str, tuple[int, Yesterday]] = OrderedDict()
        self._flights = SingleFlight()

    async def know(self, market_ids: Iterable[str]) -> None:
        """Read what is missing or a minute old."""
        minute = self._clock.now_micros() // MINUTE_MICROS
        missing = sorted({each for each in market_ids if self._kept.get(each, (0, None))[0] != minute})
        for start in range(0, len(missing), MARKETS_AT_ONCE):
            part = missing[start : start + MARKETS_AT_ONCE]
            found = await self._read(part, minute) if len(part) > 1 else await self._cached(part[0], minute)
            for market_id, yesterday in found.items():
                self._kept.pop(market_id, None)
                self._kept[market_id] = (minute, yesterday)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def of(self, market: Market) -> DayFigures:
        """By the last thing known of its yesterday; nothing known: since its opening."""
        _, yesterday = self._kept.get(market.market_id, (0, Yesterday(market.initial_probability_micros, 0)))
        return DayFigures(
            market.probability_micros - yesterday.probability_micros,
            max(0, market.volume - yesterday.volume_micros),
        )

    async def _cached(self, market_id: str, minute: int) -> dict[str, Yesterday]:
        async def read() -> bytes:
            found = (await self._read([market_id], minute)).get(market_id)
            return orjson.dumps(None if found is None else [found.probability_micros, found.volume_micros])

        kept = await self._cache.get(
            "yesterday", market_id, token=str(minute), seconds=HISTORY_SECONDS, read=read
        )
        values = orjson.loads(kept)
        return {} if values is None else {market_id: Yesterday(*values)}

    async def _read(self, market_ids: list[str], minute: int) -> dict[str, Yesterday]:
        async def read() -> dict[str, Yesterday]:
            rows = await self._store.fetch(_SELECT, market_ids, minute * MINUTE_MICROS - DAY_MICROS)
            return {row["market_id"]: _yesterday(row) for row in rows}

        return await self._flights.do((minute, *market_ids), read)


def _yesterday(row: dict[str, int]) -> Yesterday:
    if row["volume"] is None:
        return Yesterday(row["opening"], 0)
    return Yesterday(probability(row["pool_yes"], row["pool_no"]), row["volume"])
