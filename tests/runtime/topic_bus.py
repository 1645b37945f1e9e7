"""The same bus of topics for the tests, over Kafka or JetStream."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from db_service.topics.messages import TopicMessage
from launcher.embedded import KafkaServer, NatsServer
from order_service.bus import Bus
from order_service.topic_sinks import make_sink
from runtime.topic_admin import delete_topics, ensure_topics
from runtime.topic_settings import TopicSettings
from runtime.topics import Batch, Received, Topic, TopicReader, TopicsAway

PARTITIONS = 4


@dataclass(slots=True)
class TopicBus:
    """Empty at first. `server` None: not ours to restart."""

    settings: TopicSettings
    server: KafkaServer | NatsServer | None

    @property
    def is_kafka(self) -> bool:
        return bool(self.settings.kafka_bootstrap)

    @property
    def session_seconds(self) -> float:
        """How long a dead reader is waited for; a broker that is not ours usually asks for six seconds or more."""
        return 2.0 if self.server is not None or not self.is_kafka else 6.5

    @property
    def all_partitions(self) -> frozenset[int]:
        return frozenset(range(PARTITIONS)) if self.is_kafka else frozenset({0})

    async def make_empty(self) -> None:
        await delete_topics(self.settings)
        deadline = time.monotonic() + 20
        while True:  # a broker deletes in the background
            try:
                await ensure_topics(self.settings)
            except TopicsAway:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    async def publish(self, messages: Sequence[TopicMessage]) -> None:
        bus = Bus(self.settings.nats_url.get_secret_value(), "test")
        sink = make_sink(self.settings, bus, "test")
        try:
            await sink.open()
            await sink.send(messages)
        finally:
            await sink.close()
            await bus.close()

    def restart(self) -> None:
        """As after a crash. Blocks: a server ends with the thread that started it, and this one serves other tests."""
        if self.server is None:
            pytest.skip("not tested: the restart of a broker that is not ours (KAFKA_BOOTSTRAP)")
        self.server.kill()
        self.server.start()


def settings_of(nats_server: NatsServer, kafka_bootstrap: str) -> TopicSettings:
    return TopicSettings.model_validate(
        {
            "nats_url": nats_server.url,
            "kafka_bootstrap": kafka_bootstrap,
            "kafka_partitions": PARTITIONS,
            "topic_max_bytes": 1 << 28,
        }
    )


def messages_of(markets: Sequence[str], first: int, last: int, *, size: int = 0) -> list[TopicMessage]:
    """Price updates first..last of each market, in turn."""
    return [
        TopicMessage(
            topic=Topic.PRICE_UPDATES,
            market_id=market,
            seq=seq,
            prev_seq=seq - 1,
            part=1,
            parts=1,
            body=json.dumps({"market_id": market, "seq": seq, "filler": "x" * size}).encode(),
        )
        for seq in range(first, last + 1)
        for market in markets
    ]


@dataclass(slots=True)
class Seen:
    """What readers were given, by market, in order."""

    seqs: dict[str, list[int]] = field(default_factory=dict)

    def add(self, messages: Sequence[Received]) -> None:
        for message in messages:
            self.seqs.setdefault(message.market_id, []).append(json.loads(message.body)["seq"])

    def count(self) -> int:
        return sum(len(set(seqs)) for seqs in self.seqs.values())

    def firsts(self) -> dict[str, list[int]]:
        """Each market's numbers in the order they came the first time."""
        return {market: list(dict.fromkeys(seqs)) for market, seqs in self.seqs.items()}


async def read(
    reader: TopicReader, seen: Seen, count: int, *, commit: bool = True, seconds: float = 60
) -> list[Batch]:
    """Batches until so many different messages were seen."""
    batches = []
    async with asyncio.timeout(seconds):
        while seen.count() < count:
            try:
                batch = await reader.next_batch(most=100, wait_seconds=0.5)
                seen.add(batch.messages)
                batches.append(batch)
                if commit:
                    await reader.commit(batch)
            except TopicsAway:
                await asyncio.sleep(0.1)
    return batches


async def until(holds: object, seconds: float = 30) -> None:
    """Waits for a condition (a callable)."""
    assert callable(holds)
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.05)
