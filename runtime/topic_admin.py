"""Topics made, deleted, sought: over whichever bus there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.js import JetStreamContext

from runtime import jetstream_topics, kafka_admin
from runtime.bus import open_bus
from runtime.jetstream_lease import has_holder
from runtime.topic_settings import TopicSettings
from runtime.topics import Topic


class GroupIsActive(Exception):
    """A group's position cannot be moved while it has readers: stop them first."""


async def ensure_topics(settings: TopicSettings) -> list[str]:
    """Makes what is missing and gives all of it the settings; what there is now, in words. Raises TopicsAway."""
    if settings.kafka_bootstrap:
        states = await kafka_admin.ensure_topics(settings, adjust=True)
        return [
            f"{state.topic}: {state.partitions} partitions{', made just now' if state.made else ''}"
            for state in states
        ]
    async with _stream(settings) as stream:
        await jetstream_topics.ensure_topics(
            stream, retention_hours=settings.topic_retention_hours, max_bytes=settings.topic_max_bytes
        )
    return [f"{topic}: {jetstream_topics.subject(topic, '*')}" for topic in Topic]


async def delete_topics(settings: TopicSettings) -> None:
    """With all messages, and with what the groups committed. Raises TopicsAway."""
    if settings.kafka_bootstrap:
        await kafka_admin.delete_topics(settings)
        return
    async with _stream(settings) as stream:
        await jetstream_topics.delete_topics(stream)


async def seek_group(settings: TopicSettings, topic: Topic, *, to_start: bool) -> None:
    """The topic's group goes on from the first message, or after the last. Raises GroupIsActive, TopicsAway."""
    if settings.kafka_bootstrap:
        if not await kafka_admin.seek_group(settings.kafka_bootstrap, topic, to_start=to_start):
            raise GroupIsActive(topic.group)
        return
    async with _stream(settings) as stream:
        if await has_holder(stream, topic.group):
            raise GroupIsActive(topic.group)
        await jetstream_topics.seek_group(stream, topic, topic.group, to_start=to_start)


@asynccontextmanager
async def _stream(settings: TopicSettings) -> AsyncIterator[JetStreamContext]:
    with jetstream_topics.away():
        async with open_bus(settings.nats_url.get_secret_value(), name="topics", wait=False) as bus:
            yield bus.jetstream()
