"""Topics of committed events, and how a group of consumers reads one: the same over Kafka and over JetStream.

A reader belongs to a group. The group's readers share the topic's partitions; each has one reader at a time, and all
messages of a market are in one partition, in order. Delivery is at least once: after a crash, or when a partition moves
to another reader, the messages since the last commit come again, so a consumer skips what it has. Every message names
its market, its `seq`, and the `prev_seq` before it in this topic (docs/topics.md).

    source = TopicSource(kafka_bootstrap="", nats_url="nats://127.0.0.1:4222")    # Kafka where it is given
    async with open_reader(source, Topic.FILLS, name="analytics-1", partitions=listener) as reader:  # topic_readers.py
        while True:
            batch = await reader.next_batch(most=5_000, wait_seconds=1.0)
            ...                           # insert it, durably
            await reader.commit(batch)    # only now will it not come again
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Topic(StrEnum):
    """What messages of a topic hold is in docs/topics.md."""

    FILLS = "fills"
    PRICE_UPDATES = "price-updates"
    ORDER_EVENTS = "order-events"
    MARKET_EVENTS = "market-events"

    @property
    def group(self) -> str:
        """The consumer group that feeds analytics from this topic."""
        return f"consumer-group-{self.value}"


@dataclass(frozen=True, slots=True)
class TopicSource:
    """Where the topics are: the brokers (host:port, divided by commas) or, where none are given, JetStream."""

    kafka_bootstrap: str
    nats_url: str


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came. Positions of a partition ascend; they need not be consecutive."""

    partition: int
    position: int
    market_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one or more partitions, those of a partition in order. Empty: nothing came in time."""

    messages: Sequence[Received]
    generation: int
    """Of the reader's partitions: a batch from before they were divided anew cannot be committed."""

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset(message.partition for message in self.messages)


class TopicsAway(Exception):
    """The broker cannot be reached or does not answer in time. Nothing was lost; ask again."""


class PartitionsLost(Exception):
    """A commit came too late: another reader has the partitions, and gets these messages again."""


class Partitions(Protocol):
    """Told of the partitions a reader gets and loses, from within `next_batch` or from a task of the reader's."""

    async def assigned(self, partitions: frozenset[int]) -> None:
        """These are ours from now on, read from the group's committed position."""
        ...

    async def revoked(self, partitions: frozenset[int]) -> None:
        """These are about to be another's: finish what is being inserted, and forget what is remembered of them.

        Awaited for some seconds before they go. A commit of theirs may still be made in here; afterwards it raises
        PartitionsLost.
        """
        ...


class TopicReader(Protocol):
    """One member of a group, for one topic. Not for use by several tasks at once."""

    topic: Topic
    group: str

    async def next_batch(self, *, most: int, wait_seconds: float) -> Batch:
        """What follows: at most so many messages, as soon as there are any, or an empty batch after `wait_seconds`.

        A batch that is not committed may come again, also to the same reader: after `rewind`, a broken connection, or
        when the partitions were divided anew.
        Raises TopicsAway.
        """
        ...

    async def commit(self, batch: Batch) -> None:
        """The group has done with this batch and all before it. Raises PartitionsLost, TopicsAway."""
        ...

    async def rewind(self) -> None:
        """Go back to what the group committed: the batches since then come again (after a failed insert, say)."""
        ...

    def partitions(self) -> frozenset[int]:
        """Those that are this reader's now."""
        ...

    async def behind(self) -> int:
        """How many messages of its partitions this reader has not been given yet. Raises TopicsAway."""
        ...

    async def close(self) -> None:
        """Leave the group at once, so that others take over without waiting."""
        ...
