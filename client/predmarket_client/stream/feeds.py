"""What a stream hands out: live books, and feeds to iterate over. All bounded.

- A `LiveBook` holds the newest book only: a slow reader sees fewer steps, never an old one.
- A `Feed` queues frames, in order. When its queue is full, what comes is dropped and a `Gap` stands where it was; a
  feed of own events then asks the server for the missing ones instead.
- A `LatestFeed` keeps the newest frame of each market.

None of them ever holds up the socket, so a slow reader of one slows no other.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from predmarket_client.errors import PredmarketError
from predmarket_client.stream.book import Book
from predmarket_client.stream.frames import Own, Ticker

T = TypeVar("T")
FEED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames are missing here: read what you need over REST. `reason`: RECONNECTED, OVERFLOW, or the server's code."""

    reason: str


class Target:
    """Whatever a subscription fills."""

    def __init__(self) -> None:
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failure: PredmarketError | None = None
        self._news = asyncio.Event()

    async def opened(self) -> None:
        """Until the server has begun to send. Raises what it refused with."""
        await asyncio.shield(self._opened)

    def begin(self) -> None:
        """The server has begun to send."""
        if not self._opened.done():
            self._opened.set_result(None)

    def fail(self, error: PredmarketError) -> None:
        """It is over; who waits is told why."""
        self._failure = error
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # also told to who waits later; nobody may be waiting
        self._news.set()

    def interrupted(self) -> None:
        """The connection is gone; another will be made."""


class LiveBook(Target, Book):
    """A book that keeps itself. Look at it whenever you like: it is right, or `is_current` is False."""

    def __init__(self, market_id: str) -> None:
        Target.__init__(self)
        Book.__init__(self)
        self.market_id = market_id
        self.asked = 0
        self.asked_at = 0.0

    @property
    def best_bid_micros(self) -> int | None:
        """The highest price somebody bids for YES; None without one."""
        return self.bids[0][0] if self.bids else None

    @property
    def best_ask_micros(self) -> int | None:
        """The lowest price YES is offered at; None without one."""
        return self.asks[0][0] if self.asks else None

    async def changed(self) -> None:
        """Until it has changed since the last call; changes that come close together count as one."""
        await self._news.wait()
        self._news.clear()
        if self._failure is not None:
            raise self._failure

    def tell(self) -> None:
        """It has changed."""
        self._news.set()

    def interrupted(self) -> None:
        if self.is_current:
            self.drop()
            self.tell()


class Feed(Target, Generic[T]):
    """`async for frame in feed`: every frame in order, or a `Gap` where some are missing. For one reader."""

    def __init__(self, frames_max: int = FEED_MAX) -> None:
        super().__init__()
        self._frames: deque[T | Gap] = deque()
        self._frames_max = frames_max
        self._is_full = False

    def put(self, frame: T) -> None:
        """Never waits."""
        if self._is_full:
            return
        if len(self._frames) >= self._frames_max:
            self._is_full = True
            self._overflow()
            return
        self._frames.append(frame)
        self._news.set()

    def gap(self, reason: str) -> None:
        """One Gap says as much as two."""
        if not (self._frames and isinstance(self._frames[-1], Gap)):
            self._frames.append(Gap(reason))
            self._news.set()

    def interrupted(self) -> None:
        if self._opened.done():
            self.gap("RECONNECTED")

    async def __aiter__(self) -> AsyncIterator[T | Gap]:
        while True:
            while self._frames:
                yield self._frames.popleft()
                if self._is_full and len(self._frames) <= self._frames_max // 2:
                    self._is_full = False
                    self._drained()
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()

    def _overflow(self) -> None:
        self.gap("OVERFLOW")

    def _drained(self) -> None:
        """There is room again."""


class OwnFeed(Feed[Own]):
    """Own events, numbered without gaps: what is missing is asked for again, from the last one taken."""

    def __init__(
        self, since_user_seq: int | None, resume: Callable[[], None], frames_max: int = FEED_MAX
    ) -> None:
        super().__init__(frames_max)
        self.last_user_seq = since_user_seq
        self._resume = resume
        self._is_resuming = False

    def put(self, frame: Own) -> None:
        if self.last_user_seq is not None and frame.user_seq <= self.last_user_seq:
            return  # told before
        if self.last_user_seq is not None and frame.user_seq != self.last_user_seq + 1:
            if not self._is_full and not self._is_resuming:
                self._ask_again()
            return
        super().put(frame)
        if not self._is_full:
            self.last_user_seq = frame.user_seq

    def lost(self, reason: str) -> None:
        """The server no longer has what is missing: go on from the next frame, whatever its number."""
        self.last_user_seq = None
        self.gap(reason)

    def begin(self) -> None:
        self._is_resuming = False
        super().begin()

    def interrupted(self) -> None:
        """Nothing is lost by that where there is a number to go on from."""
        if self.last_user_seq is None:
            super().interrupted()

    def _overflow(self) -> None:
        """Nothing is lost by that either."""

    def _drained(self) -> None:
        self._ask_again()

    def _ask_again(self) -> None:
        self._is_resuming = True
        self._resume()


class LatestFeed(Target):
    """`async for ticker in feed`: the newest ticker of a market, as soon as it differs. For one reader."""

    def __init__(self) -> None:
        super().__init__()
        self._latest: dict[str, Ticker] = {}

    def put(self, frame: Ticker) -> None:
        """In the place of an older one of the market that nobody has read."""
        self._latest[frame.market_id] = frame
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Ticker]:
        while True:
            while self._latest:
                yield self._latest.pop(next(iter(self._latest)))
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()
