"""JetStream, read back: what a subscription missed, and where a user's events were last."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RawStreamMsg
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from runtime.logs import get_logger

log = get_logger(__name__)

MARKET_EVENTS = "MARKET_EVENTS"
USER_EVENTS = "USER_EVENTS"
READ_SECONDS = 3.0
READ_BATCH = 100
ASK_SECONDS = 2.0
READS_AT_ONCE = 16
CONSUMER_IDLE_SECONDS = 30
AWAY = (NatsError, JetStreamError, TimeoutError, OSError)
"""What reading raises while NATS, or the stream, does not answer."""


class Streams:
    """Bounded: some reads at a time, each for some seconds."""

    def __init__(self, bus: Client) -> None:
        self._bus = bus
        self._stream = bus.jetstream(timeout=ASK_SECONDS)
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    async def last(self, stream: str, subject: str) -> bytes | None:
        """The newest message; None when there is none, or no such stream. Raises AWAY."""
        try:
            return (await self._stream.get_last_msg(stream, subject)).data
        except NotFoundError:
            return None

    async def read(self, stream: str, subject: str, start: datetime, take: Callable[[bytes], bool]) -> None:
        """Messages since `start`, in order, until `take` says that it has enough, or there are no more."""
        async with self._reads:
            try:
                await self._read(stream, subject, start, take)
            except AWAY as error:
                log.info("the stream has no more", subject=subject, error=type(error).__name__)

    async def time_of_first(
        self, stream: str, subject: str, is_wanted: Callable[[bytes], bool]
    ) -> datetime | None:
        """When the first message that is wanted came, all after it being wanted too; found by halving, not by
        reading. None when not even the newest is wanted. Raises AWAY."""
        async with self._reads:
            try:
                return await self._halve(stream, subject, is_wanted)
            except NotFoundError:
                return None

    async def _halve(self, stream: str, subject: str, is_wanted: Callable[[bytes], bool]) -> datetime | None:
        newest = await self._stream.get_last_msg(stream, subject)
        if not is_wanted(newest.data or b""):
            return None
        low, high, found = 1, newest.seq or 1, newest
        while low < high:
            middle = (low + high) // 2
            message = await self._at_or_after(stream, subject, middle)
            if is_wanted(message.data or b""):
                high, found = middle, message
            else:
                low = (message.seq or middle) + 1
        return found.time

    async def _at_or_after(self, stream: str, subject: str, seq: int) -> RawStreamMsg:
        return await self._stream.get_msg(stream, seq=seq, subject=subject, next=True)

    async def _read(self, stream: str, subject: str, start: datetime, take: Callable[[bytes], bool]) -> None:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=start.astimezone(UTC).isoformat().replace("+00:00", "Z"),  # type: ignore[arg-type]
            ack_policy=AckPolicy.NONE,
            inactive_threshold=CONSUMER_IDLE_SECONDS,
        )
        subscription = await self._stream.pull_subscribe(subject, stream=stream, config=config)
        try:
            async with asyncio.timeout(READ_SECONDS):
                while True:
                    for raw in await subscription.fetch(READ_BATCH, timeout=1):
                        if take(raw.data):
                            return
        finally:
            await subscription.unsubscribe()


def ago(reach: timedelta) -> datetime:
    """That long before now, by this machine's clock."""
    return datetime.now(UTC) - reach
