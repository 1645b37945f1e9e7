"""What ClickHouse has already: the last event of each market, per topic. Loaded at start and after a failed write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from analytics.clickhouse import ClickHouse
from analytics.ingest.tables import BY_TOPIC, Table, main_table
from runtime.topics import Topic


class Positions:
    """Memory: some 150 bytes per market and topic.

    A write that was cut off may have reached some tables of a topic and not its main one, which is written last. Those
    tables are then ahead of the topic (`had`), until the same events are written again.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._last: dict[Topic, dict[str, int]] = {topic: {} for topic in Topic}
        self._ahead: dict[str, dict[str, int]] = {}
        self._promised: dict[Topic, dict[str, int]] = {topic: {} for topic in Topic}

    async def load(self) -> None:
        """Everything, from ClickHouse. Only the writer calls it, for it ends what is still inserted there.

        Raises ClickHouseAway; then nothing is changed.
        """
        await self._clickhouse.end_inserts()
        last: dict[Topic, dict[str, int]] = {}
        ahead: dict[str, dict[str, int]] = defaultdict(dict)
        for topic, tables in BY_TOPIC.items():
            last[topic] = await self._newest(main_table(topic))
            for table in tables[:-1]:
                for market_id, seq in (await self._newest(table)).items():
                    if seq > last[topic].get(market_id, 0):
                        ahead[table.name][market_id] = seq
        promised = await self._promises()
        self._last, self._ahead, self._promised = last, dict(ahead), promised

    def last(self, topic: Topic, market_id: str) -> int:
        """0: nothing yet."""
        return self._last[topic].get(market_id, 0)

    def had(self, table: Table, market_id: str) -> int:
        """What this table has of the market although its topic has not."""
        return self._ahead.get(table.name, {}).get(market_id, 0)

    def has_cut_off(self, table: Table) -> bool:
        """Whether `had` says anything of this table."""
        return bool(self._ahead.get(table.name))

    def written(self, topic: Topic, market_id: str, seq: int) -> None:
        """The topic's tables now have everything up to this event."""
        self._last[topic][market_id] = seq

    def promise(self, topics: Iterable[str], market_id: str, seq: int) -> None:
        """An event of market-events says that these topics tell of it too."""
        for topic in topics:
            self._promised[Topic(topic)][market_id] = seq

    def missing(self, topic: Topic) -> dict[str, int]:
        """Markets that lack messages other topics know of, with the last such event."""
        last = self._last[topic]
        return {
            market_id: seq for market_id, seq in self._promised[topic].items() if seq > last.get(market_id, 0)
        }

    async def _newest(self, table: Table) -> dict[str, int]:
        rows = await self._clickhouse.writers_rows(
            f"SELECT toString(market_id), max(seq) FROM {table.name} GROUP BY market_id"
        )
        return {row[0]: row[1] for row in rows}

    async def _promises(self) -> dict[Topic, dict[str, int]]:
        rows = await self._clickhouse.writers_rows(
            """
            SELECT topic, toString(market_id), max(seq) FROM market_events ARRAY JOIN topics AS topic
            GROUP BY topic, market_id
            """
        )
        promised: dict[Topic, dict[str, int]] = {topic: {} for topic in Topic}
        for topic, market_id, seq in rows:
            promised[Topic(topic)][market_id] = seq
        return promised
