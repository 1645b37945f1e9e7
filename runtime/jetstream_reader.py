"""A group's reader over JetStream: all of a topic is one partition, which one of the group's readers holds."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import deque
from contextlib import AsyncExitStack
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from runtime import jetstream_topics
from runtime.bus import open_bus
from runtime.jetstream_lease import LEASE_SECONDS, Lease
from runtime.jetstream_topics import STREAM, away, market_of
from runtime.logs import get_logger
from runtime.tasks import ended
from runtime.topics import Batch, Partitions, PartitionsLost, Received, Topic, TopicsAway

log = get_logger(__name__)

THE_PARTITION: Final = frozenset({0})
REQUEST_SECONDS: Final = 5.0
REVOKE_SECONDS: Final = 3.0
FETCH_MAX_BYTES: Final = 8 * 1024 * 1024
UNCOMMITTED_BATCHES_MAX: Final = 10_000
LEAVE_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 0.05

ENDED_BY_SERVER: Final = "409"
"""Enough bytes; or the consumer went."""
CONSUMER_MISSING: Final = "503"
"""Nobody listens: the consumer, or the stream, is gone."""
LAST_STATUSES: Final = frozenset({"404", "408", ENDED_BY_SERVER, CONSUMER_MISSING})
"""After these no answer follows; 404: there is no more, 408: waited long enough."""


class _Answers:
    """What a pull request is answered with. A callback takes it: `next_msg` makes two tasks and a timer a message."""

    def __init__(self, most: int) -> None:
        self.found: list[Msg] = []
        self.status = ""
        """Why there were no more; empty: as many came as were asked for."""
        self._most = most
        self._over = asyncio.Event()

    async def take(self, message: Msg) -> None:
        status = message.headers.get("Status") if message.headers else None
        if status is None:
            self.found.append(message)
            if len(self.found) == self._most:
                self._over.set()
        elif status in LAST_STATUSES:
            self.status = status
            self._over.set()

    async def until_over(self, silence_seconds: float) -> None:
        """Raises TimeoutError when for so long nothing more came."""
        while not self._over.is_set():
            had = len(self.found)
            try:
                async with asyncio.timeout(silence_seconds):
                    await self._over.wait()
            except TimeoutError:
                if len(self.found) == had:
                    raise


class JetStreamReader:
    """One member of the topic's group; a stand-by, to which batches are empty, while another holds the partition."""

    def __init__(
        self,
        url: str,
        topic: Topic,
        group: str,
        *,
        name: str,
        partitions: Partitions | None,
        session_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.topic = topic
        self.group = group
        self._url = url
        self._name = name
        self._partitions = partitions
        self._session_seconds = session_seconds
        self._stack = AsyncExitStack()
        self._client: Client
        self._stream: JetStreamContext
        self._lease: Lease
        self._keeper: asyncio.Task[None] | None = None
        self._gaining: asyncio.Task[None] | None = None
        self._generation = 0
        self._reads = asyncio.Event()
        """Set while the partition is ours."""
        self._is_open = False
        """The consumer stands where we read on."""
        self._delivered = 0
        """The consumer's count of deliveries; the next message must be the one after, or one was lost on its way."""
        self._given: deque[tuple[int, str]] = deque(maxlen=UNCOMMITTED_BATCHES_MAX)
        """Last positions of batches not yet committed, and where they are acknowledged."""

    async def open(self) -> None:
        with away():
            opened = open_bus(self._url, name=self._name, wait=False)
            self._client = await self._stack.enter_async_context(opened)
        self._stream = self._client.jetstream(timeout=REQUEST_SECONDS)
        self._lease = Lease(
            self._stream, self.group, f"{self._name} {uuid.uuid4().hex}", self._session_seconds
        )
        self._keeper = asyncio.create_task(self._keep(), name=f"lease of {self.group}")

    async def next_batch(self, *, most: int, wait_seconds: float) -> Batch:
        deadline = time.monotonic() + wait_seconds
        if not await self._is_reader_within(wait_seconds):
            return Batch([], self._generation)
        generation = self._generation
        with away():
            if not self._is_open:
                await self._go_to_committed()
            found = await self._pull(most, 0.0)
            if not found:
                left = deadline - time.monotonic()
                found = await self._pull(1, left) if left > IDLE_SECONDS else []
            if not found:
                await self._look_for_what_went_elsewhere()
        if generation != self._generation or not found:
            return Batch([], self._generation)
        return self._checked(found)

    async def commit(self, batch: Batch) -> None:
        if not batch.messages:
            return
        if batch.generation != self._generation or not self._lease.is_held():
            raise PartitionsLost(f"{self.group} has another reader")
        last = batch.messages[-1].position
        acknowledge = ""
        while self._given and self._given[0][0] <= last:
            acknowledge = self._given.popleft()[1]
        if acknowledge:
            with away():
                await self._client.request(acknowledge, b"+ACK", timeout=REQUEST_SECONDS)

    async def rewind(self) -> None:
        self._is_open = False

    def partitions(self) -> frozenset[int]:
        return THE_PARTITION if self._reads.is_set() else frozenset()

    async def behind(self) -> int:
        if not self._reads.is_set():
            return 0
        with away():
            info = await jetstream_topics.consumer_of(self._stream, self.topic, self.group)
        return info.num_pending or 0

    async def close(self) -> None:
        if self._keeper is not None:
            await ended(self._keeper)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._lose()
                with away():
                    await self._lease.give_up()
        except (TopicsAway, TimeoutError) as error:
            log.warning("a reader did not leave its group", group=self.group, error=type(error).__name__)
        await self._stack.aclose()

    async def _keep(self) -> None:
        """Hold the lease, or wait for it, until closed."""
        while True:
            try:
                with away():
                    held = await self._lease.try_hold()
            except TopicsAway as error:
                held = self._lease.is_held()
                log.warning("a lease was not renewed", group=self.group, error=str(error))
            if held and self._gaining is None:
                self._gaining = asyncio.create_task(self._gain(), name=f"partition of {self.group}")
            elif not held:
                await self._lose()
            await asyncio.sleep(self._lease.renew_seconds)

    async def _gain(self) -> None:
        """A task of its own: preparing may take longer than the lease, which is renewed meanwhile."""
        self._is_open = False
        if self._partitions is not None:
            await self._partitions.assigned(THE_PARTITION)
        self._reads.set()

    async def _lose(self) -> None:
        gaining, self._gaining = self._gaining, None
        if gaining is None:
            return
        await ended(gaining)
        self._reads.clear()
        try:
            if self._partitions is not None:
                async with asyncio.timeout(REVOKE_SECONDS):
                    await self._partitions.revoked(THE_PARTITION)
        except TimeoutError:
            log.warning("a partition went before its reader had finished", group=self.group)
        finally:
            self._generation += 1
            self._given.clear()

    async def _is_reader_within(self, seconds: float) -> bool:
        for task in (self._keeper, self._gaining):
            if task is not None and task.done():
                task.result()  # a defect, maybe the listener's, is the caller's to hear of
        try:
            async with asyncio.timeout(seconds):
                await self._reads.wait()
        except TimeoutError:
            return False
        if self._lease.is_held():
            return True
        await asyncio.sleep(min(seconds, IDLE_SECONDS))  # a moment until the keeper has noticed
        return False

    async def _go_to_committed(self) -> None:
        """What was delivered and not acknowledged, to us or to the reader before us, comes again."""
        info = await jetstream_topics.consumer_of(self._stream, self.topic, self.group)
        if info.num_ack_pending:
            assert info.ack_floor is not None
            floor = info.ack_floor.stream_seq
            info = await jetstream_topics.move_consumer(self._stream, self.topic, self.group, floor)
        self._delivered = info.delivered.consumer_seq if info.delivered else 0
        self._given.clear()
        self._is_open = True

    async def _look_for_what_went_elsewhere(self) -> None:
        """The reader before us may have asked late, and been given the last messages: none that follows would tell."""
        info = await jetstream_topics.consumer_of(self._stream, self.topic, self.group)
        if info.delivered is not None and info.delivered.consumer_seq != self._delivered:
            log.warning("messages went to another reader", group=self.group)
            self._is_open = False

    async def _pull(self, most: int, wait_seconds: float) -> list[Msg]:
        """One pull request: what is there at once, or (`wait_seconds`) what comes first."""
        answers = _Answers(most)
        inbox = await self._client.subscribe(
            self._client.new_inbox(), cb=answers.take, pending_bytes_limit=-1
        )
        asked = {"batch": most, "max_bytes": FETCH_MAX_BYTES} if most > 1 else {"batch": most}
        waiting = {"expires": int(wait_seconds * 1e9)} if wait_seconds else {"no_wait": True}
        next_message = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self.group}"
        try:
            await self._client.publish(next_message, json.dumps(asked | waiting).encode(), inbox.subject)
            await answers.until_over(wait_seconds + REQUEST_SECONDS)
        finally:
            await inbox.unsubscribe()
        if answers.status == CONSUMER_MISSING:
            self._is_open = False
            raise NotFoundError
        if answers.status == ENDED_BY_SERVER and not answers.found:
            self._is_open = False
        return answers.found

    def _checked(self, found: list[Msg]) -> Batch:
        """The batch, up to where a message was lost on its way: from there the consumer is asked anew."""
        messages: list[Received] = []
        for message in found:
            sequence = message.metadata.sequence
            if sequence.consumer != self._delivered + 1:
                log.warning("messages were lost on their way", group=self.group)
                self._is_open = False
                break
            self._delivered = sequence.consumer
            messages.append(Received(0, sequence.stream, market_of(message.subject), message.data))
        if messages:
            self._given.append((messages[-1].position, found[len(messages) - 1].reply))
        return Batch(messages, self._generation)
