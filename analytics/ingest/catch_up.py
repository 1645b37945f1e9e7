"""What the bus does not bring: all that PostgreSQL has and ClickHouse lacks. At start, now and then, for a rebuild."""

from __future__ import annotations

from analytics.ingest.database import Database
from analytics.ingest.positions import Positions
from analytics.ingest.writer import Progress, Writer
from runtime.topics import Topic

_ALL = tuple(Topic)
_OTHERS = tuple(topic for topic in Topic if topic is not Topic.MARKET_EVENTS)


class CatchUp:
    """Compares with PostgreSQL. `writer` must have loaded."""

    def __init__(self, database: Database, positions: Positions, writer: Writer) -> None:
        self._database = database
        self._positions = positions
        self._writer = writer
        self._seen: dict[Topic, dict[str, int]] = {topic: {} for topic in Topic}

    async def behind(self) -> dict[str, tuple[int, int]]:
        """Markets with events that market-events has not brought: the last there, and the last there is."""
        heads = await self._database.heads()
        last = {market_id: self._positions.last(Topic.MARKET_EVENTS, market_id) for market_id in heads}
        return {
            market_id: (last[market_id], seq) for market_id, seq in heads.items() if seq > last[market_id]
        }

    async def all(self, done: Progress = lambda _: None) -> int:
        """Everything that is missing now; how many rows that were."""
        written = 0
        for topic in _OTHERS:
            written += await self._writer.catch_up([topic], self._lacking(topic))
        # What market-events lacks, the others lack too, or have: what they have is skipped.
        return written + await self._writer.catch_up(_ALL, await self.behind(), done)

    async def stuck(self) -> int:
        """As `all`, but only what did not move since the last call: the rest is on its way. How many rows.

        When it raises, nothing could move: the next call only looks, so that the bus, which is quicker, comes first.
        """
        try:
            return await self._unmoved_written()
        except BaseException:
            for seen in self._seen.values():
                seen.clear()
            raise

    async def _unmoved_written(self) -> int:
        written = 0
        for topic in _OTHERS:
            written += await self._writer.catch_up([topic], self._unmoved(topic, self._lacking(topic)))
        behind = self._unmoved(Topic.MARKET_EVENTS, await self.behind())
        return written + await self._writer.catch_up(_ALL, behind)

    def _lacking(self, topic: Topic) -> dict[str, tuple[int, int]]:
        return {
            market_id: (self._positions.last(topic, market_id), seq)
            for market_id, seq in self._positions.missing(topic).items()
        }

    def _unmoved(self, topic: Topic, lacking: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        before, self._seen[topic] = (
            self._seen[topic],
            {market: after for market, (after, _) in lacking.items()},
        )
        return {market: both for market, both in lacking.items() if before.get(market) == both[0]}
