"""The topics on JetStream: one stream, subjects `analytics.<topic>.<market_id>`, a durable consumer per group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    DiscardPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from runtime.bus import ensure_stream
from runtime.topics import Topic, TopicsAway

STREAM: Final = "ANALYTICS_EVENTS"
DEDUPE_SECONDS: Final = 120
ACK_WAIT_SECONDS: Final = 24 * 3_600.0
"""Long, because the reader itself goes back to the committed position when it must; the server never repeats by itself,
which would be out of order."""


@contextmanager
def away() -> Iterator[None]:
    """The server's silence and its errors, as TopicsAway."""
    try:
        yield
    except (nats.errors.Error, JetStreamError, TimeoutError, OSError) as error:
        raise TopicsAway(f"{type(error).__name__}: {error}") from error


def subject(topic: Topic, market_id: str) -> str:
    return f"analytics.{topic.value}.{market_id}"


def market_of(stored_subject: str) -> str:
    return stored_subject.rsplit(".", 1)[1]


async def ensure_topics(stream: JetStreamContext, *, retention_hours: int, max_bytes: int) -> None:
    """Makes the stream of all topics, or gives it these settings. Bounded: the oldest messages go first."""
    await ensure_stream(
        stream,
        StreamConfig(
            name=STREAM,
            subjects=["analytics.>"],
            max_bytes=max_bytes,
            max_age=retention_hours * 3_600.0,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            duplicate_window=DEDUPE_SECONDS,
        ),
    )


async def delete_topics(stream: JetStreamContext) -> None:
    """With all messages and what groups committed."""
    try:
        await stream.delete_stream(STREAM)
    except NotFoundError:
        return


async def consumer_of(stream: JetStreamContext, topic: Topic, group: str) -> ConsumerInfo:
    """The group's durable consumer as it is; made, at the first message, where there is none."""
    try:
        found: ConsumerInfo = await stream.consumer_info(STREAM, group)
    except NotFoundError:
        return await make_consumer(stream, topic, group, DeliverPolicy.ALL)
    return found


async def move_consumer(stream: JetStreamContext, topic: Topic, group: str, after: int) -> ConsumerInfo:
    """The group goes on after this position of the stream. (JetStream has no seek: it is made anew there.)"""
    await _forget(stream, group)
    return await make_consumer(stream, topic, group, DeliverPolicy.BY_START_SEQUENCE, after + 1)


async def make_consumer(
    stream: JetStreamContext, topic: Topic, group: str, policy: DeliverPolicy, start: int | None = None
) -> ConsumerInfo:
    """Acknowledging a message acknowledges all before it."""
    config = ConsumerConfig(
        durable_name=group,
        filter_subject=subject(topic, "*"),
        deliver_policy=policy,
        opt_start_seq=start,
        ack_policy=AckPolicy.ALL,
        ack_wait=ACK_WAIT_SECONDS,
        max_ack_pending=-1,
    )
    made: ConsumerInfo = await stream.add_consumer(STREAM, config)
    return made


async def seek_group(stream: JetStreamContext, topic: Topic, group: str, *, to_start: bool) -> None:
    """The group goes on from the first or from the next message. Only while it has no readers."""
    await _forget(stream, group)
    await make_consumer(stream, topic, group, DeliverPolicy.ALL if to_start else DeliverPolicy.NEW)


async def _forget(stream: JetStreamContext, group: str) -> None:
    try:
        await stream.delete_consumer(STREAM, group)
    except NotFoundError:
        return
