"""Readers of topics, over whichever bus there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.jetstream_reader import JetStreamReader
from runtime.kafka_reader import KafkaReader
from runtime.topics import Partitions, Topic, TopicReader, TopicSource


@asynccontextmanager
async def open_reader(
    source: TopicSource,
    topic: Topic,
    *,
    name: str,
    partitions: Partitions | None = None,
    group: str | None = None,
    session_seconds: float | None = None,
) -> AsyncIterator[TopicReader]:
    """A member of the topic's group (or of another one), which leaves it at the end.

    `session_seconds`: a member not heard of for so long is out. Raises TopicsAway when the bus cannot be reached now.
    """
    made = KafkaReader if source.kafka_bootstrap else JetStreamReader
    timing = {} if session_seconds is None else {"session_seconds": session_seconds}
    address = source.kafka_bootstrap or source.nats_url
    reader = made(address, topic, group or topic.group, name=name, partitions=partitions, **timing)
    try:
        await reader.open()
        yield reader
    finally:
        await reader.close()
