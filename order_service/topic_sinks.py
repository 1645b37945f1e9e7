"""Where the topics' messages go: a Kafka-protocol broker or JetStream. All is acknowledged before `send` returns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from db_service.topics.messages import TopicMessage
from order_service.bus import Bus
from order_service.publisher import Publisher
from runtime import jetstream_topics, kafka_admin, kafka_reader
from runtime.jetstream_topics import subject
from runtime.logs import get_logger
from runtime.topic_settings import TopicSettings

log = get_logger(__name__)

SEND_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 2.0
LINGER_MS: Final = 5
BATCH_BYTES: Final = 256 * 1024
KAFKA: Final = "kafka"
JETSTREAM: Final = "jetstream"


class TopicSink(Protocol):
    """One shard's way to the bus."""

    target: str
    """Names the cursor of what was sent here."""

    async def open(self) -> None:
        """Connect, and make the topics where they are missing. Raises TopicsAway."""
        ...

    async def send(self, messages: Sequence[TopicMessage]) -> None:
        """In order. When it raises TopicsAway, any of them may have been written; open, and send all again."""
        ...

    async def close(self) -> None: ...


class KafkaSink:
    """Idempotent and acknowledged by all in-sync copies; what a broken producer may still deliver late is a repeat."""

    target = KAFKA

    def __init__(self, settings: TopicSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        if self._producer is not None:
            return
        await kafka_admin.ensure_topics(self._settings, adjust=False)
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            client_id=self._name,
            enable_idempotence=True,
            acks="all",
            linger_ms=LINGER_MS,
            max_batch_size=BATCH_BYTES,
            max_request_size=kafka_admin.MESSAGE_MAX_BYTES,
            request_timeout_ms=int(SEND_SECONDS * 1_000 / 2),
        )
        with kafka_reader.away():
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await producer.start()
            except BaseException:
                await producer.stop()
                raise
        self._producer = producer

    async def send(self, messages: Sequence[TopicMessage]) -> None:
        assert self._producer is not None, "opened before"
        try:
            with kafka_reader.away():
                async with asyncio.timeout(SEND_SECONDS):
                    # `send` waits while a partition's batch is full, so what is in flight is bounded.
                    acks = [
                        await self._producer.send(
                            message.topic.value, message.body, message.market_id.encode()
                        )
                        for message in messages
                    ]
                    await asyncio.gather(*acks)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await producer.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("a producer did not close in time", error=type(error).__name__)


class JetStreamSink:
    """The stream ANALYTICS_EVENTS, over the connection that the relay has too."""

    target = JETSTREAM

    def __init__(self, settings: TopicSettings, bus: Bus) -> None:
        self._settings = settings
        self._bus = bus
        self._publisher: Publisher

    async def open(self) -> None:
        with jetstream_topics.away():
            await jetstream_topics.ensure_topics(
                await self._bus.stream(),
                retention_hours=self._settings.topic_retention_hours,
                max_bytes=self._settings.topic_max_bytes,
            )
            self._publisher = await self._bus.publisher()

    async def send(self, messages: Sequence[TopicMessage]) -> None:
        publications = [
            (subject(message.topic, message.market_id), message.message_id, message.body)
            for message in messages
        ]
        with jetstream_topics.away():
            await self._publisher.publish(publications)

    async def close(self) -> None:
        """The connection is the process's."""


def target_of(settings: TopicSettings) -> str:
    """Names the cursor of the bus that these settings choose."""
    return KAFKA if settings.kafka_bootstrap else JETSTREAM


def make_sink(settings: TopicSettings, bus: Bus, name: str) -> TopicSink:
    return KafkaSink(settings, name) if settings.kafka_bootstrap else JetStreamSink(settings, bus)
