"""Groups of readers: the same promises over a real Kafka broker and over JetStream."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from db_service.topics.messages import PART_BYTES_MAX
from launcher.embedded import NatsServer
from runtime import kafka_reader
from runtime.bus import open_bus
from runtime.jetstream_topics import STREAM
from runtime.topic_admin import GroupIsActive, ensure_topics, seek_group
from runtime.topic_readers import open_reader
from runtime.topics import Batch, PartitionsLost, Topic, TopicReader, TopicsAway
from tests.runtime.topic_bus import PARTITIONS, Seen, TopicBus, messages_of, read, settings_of, until
from tests.servers import Broker


@pytest.fixture(params=["kafka", "jetstream"])
async def bus(request: pytest.FixtureRequest, nats_server: NatsServer) -> TopicBus:
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka_server")
        settings = settings_of(nats_server, broker.bootstrap)
        made = TopicBus(settings, broker.server)
    else:
        made = TopicBus(settings_of(nats_server, ""), nats_server)
    await made.make_empty()
    return made


@pytest.fixture
async def nats_bus(nats_server: NatsServer) -> TopicBus:
    made = TopicBus(settings_of(nats_server, ""), nats_server)
    await made.make_empty()
    return made


@pytest.fixture
def markets() -> list[str]:
    return [str(uuid.uuid4()) for _ in range(12)]


@dataclass(slots=True)
class Told:
    """What a reader hears of its partitions; `at_last` is done while they are being revoked."""

    assigned_so_far: list[frozenset[int]] = field(default_factory=list)
    revoked_so_far: list[frozenset[int]] = field(default_factory=list)
    at_last: Any = None

    async def assigned(self, partitions: frozenset[int]) -> None:
        self.assigned_so_far.append(partitions)

    async def revoked(self, partitions: frozenset[int]) -> None:
        if self.at_last is not None:
            await self.at_last()
        self.revoked_so_far.append(partitions)


@asynccontextmanager
async def member(bus: TopicBus, name: str, told: Told | None = None) -> AsyncIterator[TopicReader]:
    async with open_reader(
        bus.settings.topic_source(),
        Topic.PRICE_UPDATES,
        name=name,
        partitions=told,
        session_seconds=bus.session_seconds,
    ) as reader:
        yield reader


async def something_of(reader: TopicReader) -> Batch:
    async with asyncio.timeout(30):
        while not (batch := await reader.next_batch(most=100, wait_seconds=0.2)).messages:
            pass
    return batch


async def test_every_market_comes_in_order_and_a_group_goes_on_where_it_committed(
    bus: TopicBus, markets: list[str]
) -> None:
    await bus.publish(messages_of(markets, 1, 20))
    seen = Seen()
    async with member(bus, "a") as reader:
        await read(reader, seen, 240)
        assert reader.partitions() == bus.all_partitions
        assert await reader.behind() == 0
    assert seen.seqs == {market: list(range(1, 21)) for market in markets}
    await bus.publish(messages_of(markets, 21, 25))
    after = Seen()
    async with member(bus, "b") as reader:
        await read(reader, after, 60)
    assert after.seqs == {market: list(range(21, 26)) for market in markets}


async def test_what_was_not_committed_comes_again_to_the_next_reader_and_after_a_rewind(
    bus: TopicBus, markets: list[str]
) -> None:
    await bus.publish(messages_of(markets, 1, 10))
    seen = Seen()
    async with member(bus, "a") as reader:
        batches = await read(reader, seen, 120, commit=False)
        first = next(batch for batch in batches if batch.messages)
        await reader.commit(first)
        await reader.rewind()
        again = Seen()
        await read(reader, again, 120 - len(first.messages), commit=False)
    last = Seen()
    async with member(bus, "b") as reader:
        await read(reader, last, 120 - len(first.messages))
    assert again.seqs == last.seqs
    repeated = {(market, seq) for market, seqs in last.seqs.items() for seq in seqs}
    kept = {(message.market_id, json.loads(message.body)["seq"]) for message in first.messages}
    assert not repeated & kept


async def test_a_division_in_mid_batch_repeats_the_batch_and_refuses_its_late_commit(
    bus: TopicBus, markets: list[str]
) -> None:
    await bus.publish(messages_of(markets, 1, 10))
    told, seen = Told(), Seen()
    async with member(bus, "a", told) as first:
        held = await read(first, seen, 120, commit=False)
        async with division(bus) as second:
            other = Seen()
            reading = asyncio.create_task(read_both(first, second, other, 120))
            await until(lambda: told.revoked_so_far)
            with pytest.raises(PartitionsLost):
                await first.commit(held[-1] if held[-1].messages else held[0])
            await reading
        assert other.count() == 120, "all of it came again, to one or the other"


async def test_messages_that_a_late_request_of_another_reader_took_come_again(
    nats_bus: TopicBus, markets: list[str]
) -> None:
    await nats_bus.publish(messages_of(markets, 1, 1))
    seen = Seen()
    async with member(nats_bus, "a") as reader:
        await read(reader, seen, 12)
        await nats_bus.publish(messages_of(markets, 2, 2))
        async with open_bus(nats_bus.settings.nats_url.get_secret_value(), name="late") as late:
            group = Topic.PRICE_UPDATES.group
            taken = await late.subscribe("late")
            ask = json.dumps({"batch": 100, "no_wait": True}).encode()
            await late.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{group}", ask, "late")
            for _ in range(12):
                await taken.next_msg(timeout=30)
        await read(reader, seen, 24)
    assert seen.seqs == {market: [1, 2] for market in markets}


async def test_what_is_being_inserted_when_partitions_go_may_still_be_committed(
    bus: TopicBus, markets: list[str]
) -> None:
    await bus.publish(messages_of(markets, 1, 10))
    told, seen = Told(), Seen()
    async with member(bus, "a", told) as first:
        held = [batch for batch in await read(first, seen, 120, commit=False) if batch.messages]

        async def finish() -> None:
            for batch in held:
                await first.commit(batch)
            held.clear()

        told.at_last = finish
        if bus.is_kafka:
            async with member(bus, "b"):
                await until(lambda: told.revoked_so_far)
    assert not held
    assert told.revoked_so_far
    await bus.publish(messages_of(markets, 11, 11))
    last = Seen()
    async with member(bus, "c") as reader:
        await read(reader, last, 12)
    assert last.seqs == {market: [11] for market in markets}


async def test_two_readers_share_the_partitions_and_one_goes_on_when_the_other_is_killed(
    bus: TopicBus, markets: list[str]
) -> None:
    await bus.publish(messages_of(markets, 1, 10))
    seen = Seen()
    process, lines, pump = await start_member(bus)
    await until(lambda: {"partitions": sorted(bus.all_partitions)} in lines)
    async with member(bus, "a") as survivor:
        try:
            reading = asyncio.create_task(read(survivor, seen, 10**9, seconds=120))
            await until(lambda: covered(bus, survivor, lines))
            await bus.publish(messages_of(markets, 11, 30))
            await until(lambda: len({*pairs(lines), *everything(seen)}) >= 360, seconds=60)
            process.kill()
            await process.wait()
            await bus.publish(messages_of(markets, 31, 50))
            await until(lambda: len({*pairs(lines), *everything(seen)}) >= 600, seconds=60)
            await until(lambda: survivor.partitions() == bus.all_partitions)
            reading.cancel()
            await asyncio.wait((reading,))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await pump
    for seqs in seen.firsts().values():
        assert seqs == sorted(seqs)


async def test_a_group_goes_on_over_a_restart_of_the_broker(bus: TopicBus, markets: list[str]) -> None:
    await bus.publish(messages_of(markets, 1, 10))
    seen = Seen()
    is_restarted = False
    async with asyncio.timeout(120):
        while seen.count() < 240:
            with suppress(TopicsAway, PartitionsLost):  # then a reader is opened anew
                async with member(bus, "a") as reader:
                    await read(reader, seen, 120)
                    if not is_restarted:
                        bus.restart()
                        is_restarted = True
                        await bus.publish(messages_of(markets, 11, 20))
                    while seen.count() < 240:
                        batch = await reader.next_batch(most=100, wait_seconds=0.5)
                        seen.add(batch.messages)
                        await reader.commit(batch)
    assert seen.firsts() == {market: list(range(1, 21)) for market in markets}


async def test_a_kafka_reader_that_gets_nothing_of_what_is_there_says_so(
    nats_server: NatsServer, kafka_server: Broker, markets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when aiokafka has stopped fetching for good, which a broker that goes away can bring about."""
    monkeypatch.setattr(kafka_reader, "STALL_SECONDS", 0.5)
    bus = TopicBus(settings_of(nats_server, kafka_server.bootstrap), kafka_server.server)
    await bus.make_empty()
    async with member(bus, "a") as reader:
        assert isinstance(reader, kafka_reader.KafkaReader)
        async with asyncio.timeout(30):
            while reader.partitions() == frozenset():
                await reader.next_batch(most=100, wait_seconds=0.2)
        for _ in range(5):  # nothing there is nothing wrong
            await reader.next_batch(most=100, wait_seconds=0.2)
        consumer = reader._consumer
        consumer.pause(*consumer.assignment())
        await bus.publish(messages_of(markets, 1, 1))
        with pytest.raises(TopicsAway, match="12 messages of price-updates are waiting"):
            await something_of(reader)


async def test_a_group_that_is_sought_reads_the_whole_topic_again_or_only_what_is_new(
    bus: TopicBus, markets: list[str]
) -> None:
    await bus.publish(messages_of(markets, 1, 20))
    seen = Seen()
    async with member(bus, "a") as reader:
        await read(reader, seen, 240)
        with pytest.raises(GroupIsActive):
            await seek_group(bus.settings, Topic.PRICE_UPDATES, to_start=True)
    await seek_group(bus.settings, Topic.PRICE_UPDATES, to_start=True)
    again = Seen()
    async with member(bus, "a") as reader:
        await read(reader, again, 240)
    assert again.seqs == seen.seqs
    await seek_group(bus.settings, Topic.PRICE_UPDATES, to_start=True)
    await seek_group(bus.settings, Topic.PRICE_UPDATES, to_start=False)
    await bus.publish(messages_of(markets, 21, 21))
    new = Seen()
    async with member(bus, "a") as reader:
        await read(reader, new, 12)
    assert new.seqs == {market: [21] for market in markets}


async def test_the_largest_message_passes(bus: TopicBus, markets: list[str]) -> None:
    sent = messages_of(markets[:3], 1, 2, size=PART_BYTES_MAX - 200)
    assert all(PART_BYTES_MAX - 200 < len(message.body) < PART_BYTES_MAX for message in sent)
    await bus.publish(sent)
    async with member(bus, "a") as reader:
        found: list[bytes] = []
        async with asyncio.timeout(30):
            while len(found) < len(sent):
                batch = await reader.next_batch(most=100, wait_seconds=1.0)
                found.extend(message.body for message in batch.messages)
    assert sorted(found) == sorted(message.body for message in sent)


async def test_a_reader_of_topics_that_are_made_anew_begins_again(bus: TopicBus, markets: list[str]) -> None:
    await bus.publish(messages_of(markets, 1, 5))
    seen = Seen()
    async with member(bus, "a") as reader:
        await read(reader, seen, 60)
        await bus.make_empty()
        await bus.publish(messages_of(markets, 1, 8))
        await read(reader, seen, 96, seconds=60)
    assert seen.firsts() == {market: list(range(1, 9)) for market in markets}


async def test_making_the_topics_again_changes_settings_and_keeps_what_is_there(
    bus: TopicBus, markets: list[str]
) -> None:
    await bus.publish(messages_of(markets, 1, 1))
    changed = bus.settings.model_copy(update={"topic_retention_hours": 2, "kafka_partitions": 9})
    told = await ensure_topics(changed)
    assert len(told) == len(Topic)
    if bus.is_kafka:
        assert all(f"{PARTITIONS} partitions" in line for line in told)
        await bus.publish(
            messages_of(markets, 2, 2)
        )  # with the old settings, which only a command gives to topics
        assert await retention_ms(bus) == str(2 * 3_600_000)
    seen = Seen()
    async with member(bus, "a") as reader:
        await read(reader, seen, 12)


async def retention_ms(bus: TopicBus) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=bus.settings.kafka_bootstrap)
    await admin.start()
    try:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "price-updates")])
    finally:
        await admin.close()
    found: str = next(entry[1] for entry in answer.resources[0][4] if entry[0] == "retention.ms")
    return found


@asynccontextmanager
async def division(bus: TopicBus) -> AsyncIterator[TopicReader]:
    """Another member; on JetStream, where one member has the only partition, the lease is also taken away."""
    async with member(bus, "b") as second:
        if not bus.is_kafka:
            await take_lease_away(bus)
        yield second


async def take_lease_away(bus: TopicBus) -> None:
    from runtime.jetstream_lease import BUCKET

    async with open_bus(bus.settings.nats_url.get_secret_value(), name="test") as client:
        await (await client.jetstream().key_value(BUCKET)).delete(Topic.PRICE_UPDATES.group)


async def read_both(first: TopicReader, second: TopicReader, seen: Seen, count: int) -> None:
    async def one(reader: TopicReader) -> None:
        # Not cancelled from outside: below Python 3.12 `wait_for` can lose that.
        while seen.count() < count:
            try:
                batch: Batch = await reader.next_batch(most=100, wait_seconds=0.2)
                await reader.commit(batch)
            except (PartitionsLost, TopicsAway):
                continue
            seen.add(batch.messages)

    async with asyncio.timeout(60):
        await asyncio.gather(one(first), one(second))


async def start_member(bus: TopicBus) -> tuple[asyncio.subprocess.Process, list[Any], asyncio.Task[None]]:
    source = bus.settings.topic_source()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.runtime.topic_member",
        source.kafka_bootstrap,
        source.nats_url,
        "victim",
        str(bus.session_seconds),
        stdout=asyncio.subprocess.PIPE,
    )
    lines: list[Any] = []

    async def pump() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(json.loads(line))

    return process, lines, asyncio.create_task(pump())


def covered(bus: TopicBus, survivor: TopicReader, lines: list[Any]) -> bool:
    """Every partition has exactly one of the two; on Kafka both have some."""
    told = [line["partitions"] for line in lines if isinstance(line, dict)]
    theirs, ours = set(told[-1] if told else []), survivor.partitions()
    both = bool(theirs) and bool(ours) if bus.is_kafka else True
    return both and not theirs & ours and theirs | ours == bus.all_partitions


def pairs(lines: list[Any]) -> list[tuple[str, int]]:
    return [(line[0], line[1]) for line in lines if isinstance(line, list)]


def everything(seen: Seen) -> list[tuple[str, int]]:
    return [(market, seq) for market, seqs in seen.seqs.items() for seq in seqs]
