"""Each event is written once, whatever comes twice, is missing or is cut off."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from analytics.clickhouse import ClickHouse, ClickHouseAway
from analytics.ingest.rows import Message
from analytics.ingest.tables import BY_TOPIC
from runtime.postgres import Connection, Pool
from runtime.topics import Topic
from tests.analytics.copying import copier, counts, differences, messages
from tests.db_service.shard import played


async def test_what_the_bus_brings_is_what_postgres_has(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    copying = copier(clickhouse, postgres_pool)
    for topic, its_messages in (await messages(postgres_pool)).items():
        assert await copying.writer.take(topic, its_messages) > 0
    assert await differences(clickhouse, reader) == []
    assert all((await counts(clickhouse)).values())


async def test_a_group_that_seeks_to_the_start_changes_nothing(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    everything = await messages(postgres_pool)
    for process in (copier(clickhouse, postgres_pool) for _ in range(2)):
        for topic in Topic:
            await process.writer.take(topic, everything[topic])
            await process.writer.take(topic, everything[topic][2:5])
    assert await differences(clickhouse, reader) == []


async def test_messages_that_never_came_are_read_from_postgres(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    seed = random.randrange(10**6)
    print("seed", seed)
    random_source = random.Random(seed)
    copying = copier(clickhouse, postgres_pool)
    for topic, its_messages in (await messages(postgres_pool)).items():
        last_of = {message.market_id: message.seq for message in its_messages}
        some = [m for m in its_messages if m.seq == last_of[m.market_id] or random_source.random() < 0.4]
        await copying.writer.take(topic, some)
    assert await differences(clickhouse, reader) == []


async def test_the_end_that_never_came_is_found_by_comparing(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    copying = copier(clickhouse, postgres_pool)
    await copying.writer.load()
    everything = await messages(postgres_pool)
    await copying.writer.take(Topic.MARKET_EVENTS, everything[Topic.MARKET_EVENTS])
    await copying.writer.take(Topic.FILLS, everything[Topic.FILLS][:1])
    assert await copying.catch_up.stuck() == 0  # perhaps it is on its way
    assert await copying.catch_up.stuck() > 0
    assert await differences(clickhouse, reader) == []
    assert await copying.catch_up.all() == 0


async def test_when_clickhouse_was_away_what_waits_on_the_bus_is_not_read_from_postgres_at_once(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    away = Failing(clickhouse, after=10**6)
    copying = copier(away, postgres_pool)  # type: ignore[arg-type]
    await copying.writer.load()
    assert await copying.catch_up.stuck() == 0
    away.fail_next()
    with pytest.raises(ClickHouseAway):
        await copying.catch_up.stuck()
    assert await copying.catch_up.stuck() == 0
    assert await copying.catch_up.stuck() > 0
    assert await differences(clickhouse, reader) == []


async def test_catching_up_leaves_nothing_out_of_a_topic_that_is_further_behind_than_market_events(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    everything = await messages(postgres_pool)
    copying = copier(clickhouse, postgres_pool)
    await copying.writer.take(Topic.FILLS, everything[Topic.FILLS][:1])
    told = everything[Topic.MARKET_EVENTS]
    # What the bus does between two looks of the comparison.
    await copying.writer.take(Topic.MARKET_EVENTS, told[: len(told) * 3 // 4])
    await copying.writer.catch_up(tuple(Topic), await copying.catch_up.behind())
    await copying.catch_up.all()
    assert await differences(clickhouse, reader) == []


async def test_a_write_that_is_cut_off_between_tables_is_completed(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    everything = await messages(postgres_pool)
    for cut in range(len(BY_TOPIC[Topic.MARKET_EVENTS])):
        copying = copier(Failing(clickhouse, cut), postgres_pool)  # type: ignore[arg-type]
        third = len(everything[Topic.MARKET_EVENTS]) * (cut + 1) // 6
        for attempt in range(2):
            try:
                await copying.writer.take(Topic.MARKET_EVENTS, everything[Topic.MARKET_EVENTS][:third])
            except ClickHouseAway:
                assert attempt == 0
    copying = copier(clickhouse, postgres_pool)
    for topic in Topic:
        await copying.writer.take(topic, everything[topic])
    assert await differences(clickhouse, reader) == []


async def test_part_of_an_event_is_never_written(
    clickhouse: ClickHouse, writer: Connection, postgres_pool: Pool, reader: Connection
) -> None:
    await played(writer)
    copying = copier(clickhouse, postgres_pool)
    for topic, its_messages in (await messages(postgres_pool)).items():
        halves = [_part_of(message, part) for message in its_messages for part in (1, 2)]
        await copying.writer.take(topic, halves[: len(halves) // 2 | 1])
        await copying.writer.take(topic, halves[len(halves) // 2 | 1 :])
    assert await differences(clickhouse, reader) == []


class Failing:
    """ClickHouse that is away once, at the n-th insert from now."""

    def __init__(self, inner: ClickHouse, after: int) -> None:
        self._inner = inner
        self._left = after

    def fail_next(self) -> None:
        self._left = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def insert(self, *arguments: object) -> None:
        self._left -= 1
        if self._left == -1:
            raise ClickHouseAway("as a test wants")
        await self._inner.insert(*arguments)  # type: ignore[arg-type]


def _part_of(message: Message, part: int) -> Message:
    """Half of a message's rows, as a large event comes."""
    content = {}
    for name, value in message.content.items():
        half = len(value) // 2 if isinstance(value, list) and name != "topics" else 0
        is_rows = isinstance(value, list) and name != "topics"
        content[name] = value if not is_rows else value[:half] if part == 1 else value[half:]
    return replace(message, part=part, parts=2, content=content)
