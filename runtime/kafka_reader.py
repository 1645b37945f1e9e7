"""A group's reader over the Kafka protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from runtime.logs import get_logger
from runtime.topics import Batch, Partitions, PartitionsLost, Received, Topic, TopicsAway

log = get_logger(__name__)

SESSION_SECONDS: Final = 10.0
"""A reader that is not heard of for so long is out of the group."""

HEARTBEAT_SECONDS: Final = 1.0
REQUEST_SECONDS: Final = 10.0
REVOKE_SECONDS: Final = 8.0
"""How long a reader may finish what it is inserting before its partitions go: less than the session."""

CLOSE_SECONDS: Final = 5.0
METADATA_SECONDS: Final = 3.0
"""How soon topics that were made anew are found."""

STALL_SECONDS: Final = 10.0
"""A reader that gets nothing for so long asks whether there is nothing."""

FETCH_MAX_BYTES: Final = 8 * 1024 * 1024
PARTITION_MAX_BYTES: Final = 1024 * 1024


@contextmanager
def away() -> Iterator[None]:
    """The broker's silence and its errors, as TopicsAway."""
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise TopicsAway(f"{type(error).__name__}: {error}") from error


class KafkaReader:
    """One member of the topic's group. Starts at the group's committed position, or at the first message there is."""

    def __init__(
        self,
        bootstrap: str,
        topic: Topic,
        group: str,
        *,
        name: str,
        partitions: Partitions | None,
        session_seconds: float = SESSION_SECONDS,
    ) -> None:
        self.topic = topic
        self.group = group
        self._generation = 0
        self._heard_at = time.monotonic()
        self._listener = _Listener(self, partitions)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            client_id=name,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(session_seconds * 1_000),
            heartbeat_interval_ms=int(min(HEARTBEAT_SECONDS, session_seconds / 4) * 1_000),
            request_timeout_ms=int(REQUEST_SECONDS * 1_000),
            metadata_max_age_ms=int(METADATA_SECONDS * 1_000),
            fetch_max_bytes=FETCH_MAX_BYTES,
            max_partition_fetch_bytes=PARTITION_MAX_BYTES,
        )

    async def open(self) -> None:
        with away():
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._consumer.start()
        self._consumer.subscribe([self.topic.value], listener=self._listener)

    async def next_batch(self, *, most: int, wait_seconds: float) -> Batch:
        with away():
            found = await self._consumer.getmany(timeout_ms=int(wait_seconds * 1_000), max_records=most)
        messages = [
            Received(place.partition, record.offset, record.key.decode(), record.value)
            for place, records in found.items()
            for record in records
        ]
        if messages:
            self._heard_at = time.monotonic()
        elif time.monotonic() - self._heard_at > STALL_SECONDS:
            await self._ask_whether_there_is_nothing()
        return Batch(messages, self._generation)

    async def _ask_whether_there_is_nothing(self) -> None:
        """aiokafka's fetching can end for good when a broker goes away, and then nothing ever comes. Raises TopicsAway,
        upon which a reader is opened anew."""
        if missing := await self.behind():
            raise TopicsAway(f"{missing} messages of {self.topic.value} are waiting, but none comes")
        self._heard_at = time.monotonic()

    async def commit(self, batch: Batch) -> None:
        if not batch.messages:
            return
        if batch.generation != self._generation:
            raise PartitionsLost(f"{self.group} was divided anew since the batch was read")
        offsets: dict[TopicPartition, int] = {}
        for message in batch.messages:
            offsets[TopicPartition(self.topic.value, message.partition)] = message.position + 1
        try:
            with away():
                async with asyncio.timeout(REQUEST_SECONDS):
                    await self._consumer.commit(offsets)
        except TopicsAway as error:
            if isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                raise PartitionsLost(str(error)) from None
            raise

    async def rewind(self) -> None:
        with away():
            async with asyncio.timeout(REQUEST_SECONDS):
                for place in self._consumer.assignment():
                    committed = await self._consumer.committed(place)
                    if committed is None:
                        await self._consumer.seek_to_beginning(place)
                    else:
                        self._consumer.seek(place, committed)

    def partitions(self) -> frozenset[int]:
        return frozenset(place.partition for place in self._consumer.assignment())

    async def behind(self) -> int:
        with away():
            async with asyncio.timeout(REQUEST_SECONDS):
                places = list(self._consumer.assignment())
                ends = await self._consumer.end_offsets(places)
                return sum([ends[place] - await self._consumer.position(place) for place in places])

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._consumer.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("a reader did not leave its group", group=self.group, error=type(error).__name__)

    def lost(self) -> None:
        """Batches read until now can no longer be committed."""
        self._generation += 1


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes on what the group's coordinator says."""

    def __init__(self, reader: KafkaReader, partitions: Partitions | None) -> None:
        self._reader = reader
        self._partitions = partitions

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        try:
            if self._partitions is not None and revoked:
                async with asyncio.timeout(REVOKE_SECONDS):
                    await self._partitions.revoked(_numbers(revoked))
        except TimeoutError:
            log.warning("partitions went before their reader had finished", group=self._reader.group)
        finally:
            self._reader.lost()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if self._partitions is not None:
            await self._partitions.assigned(_numbers(assigned))


def _numbers(places: Collection[TopicPartition]) -> frozenset[int]:
    return frozenset(place.partition for place in places)
