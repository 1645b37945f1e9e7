"""One market's live feed: its book's replica, and the sockets that follow it.

The bus may repeat, reorder around a takeover, or lose. Book messages chain by `prev_seq`: on a gap the book is read
anew and every reader gets a snapshot. Trades chain too: on a gap the missing ones are read from the stream.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from ws_service import frames
from ws_service.book import Book, BookMessage
from ws_service.bus_messages import TradeMessage
from ws_service.metrics import FRAMES, REFETCHES
from ws_service.socket import Socket

log = get_logger(__name__)

SLICE_SOCKETS = 200
HELD_MAX = 2_000
RELOAD_WAITS_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A market's book as order_service gives it."""

    book: Book
    last_trade_seq: int


Load = Callable[[str], Awaitable[Loaded]]
Recover = Callable[[str, int, int], Awaitable[list[TradeMessage]]]
"""The trade messages of a market after one event number, up to another; shorter when the stream has no more."""


class MarketFeed:
    """Lives while a socket follows the market (`pins` counts them). Used on the loop's thread only."""

    def __init__(self, market_id: str, *, load: Load, recover: Recover, merge_seconds: float) -> None:
        self.market_id = market_id
        self.book_sockets: set[Socket] = set()
        self.trade_sockets: set[Socket] = set()
        self.pins = 0
        self._load = load
        self._recover = recover
        self._merge_seconds = merge_seconds
        self._book: Book | None = None
        self._held: deque[BookMessage] = deque(maxlen=HELD_MAX)
        self._trade_seq: int | None = None
        self._held_trades: deque[TradeMessage] = deque()
        self._outgoing: deque[bytes] = deque()
        self._joining: set[Socket] = set()
        self._flush_at = 0.0
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Read the book. Raises ApiError (MARKET_NOT_FOUND, UNAVAILABLE)."""
        self._take_over(await self._load(self.market_id))
        self._begin("pump", self._pump)

    async def stop(self) -> None:
        """Ends its tasks."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def follow_book(self, socket: Socket) -> None:
        """From the next moment on: a snapshot, then deltas."""
        self.book_sockets.add(socket)
        self.give_snapshot(socket)

    def give_snapshot(self, socket: Socket) -> None:
        """To a follower that asked, or was behind."""
        if socket in self.book_sockets:
            self._joining.add(socket)
            self._wake.set()

    def leave_book(self, socket: Socket) -> None:
        self.book_sockets.discard(socket)
        self._joining.discard(socket)
        socket.behind.discard(self.market_id)

    def on_book(self, message: BookMessage) -> None:
        """A message of the bus."""
        if self._book is None:
            self._held.append(message)
        elif self._book.is_gap(message):
            self._held.append(message)
            self.reload()
        else:
            self._book.apply(message)
            self._wake.set()

    def on_trade(self, message: TradeMessage) -> None:
        """A message of the bus."""
        if self._trade_seq is None or "recover" in self._tasks:
            self._held_trades.append(message)
        elif message.prev_seq > self._trade_seq:
            self._held_trades.append(message)
            self._begin("recover", self._recover_trades)
        elif message.seq > self._trade_seq:
            self._send_trades(message)

    def reload(self) -> None:
        """Read the book anew; readers get a snapshot of it."""
        self._book = None
        self._begin("reload", self._reload)

    def _take_over(self, loaded: Loaded) -> None:
        """The read book, with what came meanwhile. What still does not chain asks for another read."""
        book = loaded.book
        held, missing = tuple(self._held), False
        self._held.clear()
        for message in held:
            missing = missing or book.is_gap(message)
            if missing:
                self._held.append(message)
            else:
                book.apply(message)
        if missing:
            raise ApiError(ErrorCode.UNAVAILABLE)
        book.take_delta()
        self._book = book
        self._joining.update(self.book_sockets)
        if self._trade_seq is None:
            self._trade_seq = loaded.last_trade_seq
            self._replay_held_trades()
        self._wake.set()

    async def _reload(self) -> None:
        attempt = 0
        while True:
            REFETCHES.inc()
            try:
                self._take_over(await self._load(self.market_id))
                return
            except ApiError as error:
                log.info("book not read yet", market_id=self.market_id, code=str(error.code))
            await asyncio.sleep(RELOAD_WAITS_SECONDS[min(attempt, len(RELOAD_WAITS_SECONDS) - 1)])
            attempt += 1

    async def _recover_trades(self) -> None:
        """What is not in the stream either is said to be missing: the reader asks REST for it."""
        assert self._trade_seq is not None
        known, until = self._trade_seq, self._held_trades[0].prev_seq
        for message in await self._recover(self.market_id, known, until):
            if message.prev_seq <= self._trade_seq < message.seq:
                self._send_trades(message)
        if self._trade_seq < until:
            log.error("trades are missing", market_id=self.market_id, after=self._trade_seq, until=until)
            refusal = ApiError(
                ErrorCode.RESUME_UNAVAILABLE, f"trades of {self.market_id} are missing: read REST"
            )
            self._outgoing.append(frames.error(refusal, None))
            self._trade_seq = until
        del self._tasks["recover"]
        self._replay_held_trades()

    def _replay_held_trades(self) -> None:
        held = tuple(self._held_trades)
        self._held_trades.clear()
        for message in held:
            self.on_trade(message)

    def _send_trades(self, message: TradeMessage) -> None:
        known, self._trade_seq = self._trade_seq or 0, message.seq
        # What is published again may be cut into messages otherwise: each trade is shown once.
        self._outgoing.extend(
            frames.message("trade", **trade) for trade in message.trades if trade["seq"] > known
        )
        self._wake.set()

    async def _pump(self) -> None:
        """The only writer of this market's frames, so that each socket sees them in one order."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wait(loop.time())
            while self._outgoing:
                await self._send_all(self._outgoing.popleft(), tuple(self.trade_sockets))
            if self._book is not None and self._book.is_ahead and loop.time() >= self._flush_at:
                self._flush_at = loop.time() + self._merge_seconds
                await self._send_delta(self._book)
            if self._book is not None and self._joining and not self._book.is_ahead:
                await self._send_snapshots(self._book)

    async def _wait(self, now: float) -> None:
        """Until something came, or a change that was held back is due."""
        ahead = self._book is not None and self._book.is_ahead
        try:
            async with asyncio.timeout(max(0.0, self._flush_at - now) if ahead else None):
                await self._wake.wait()
            self._wake.clear()
        except TimeoutError:
            return

    async def _send_all(self, frame: bytes, sockets: Iterable[Socket]) -> None:
        for number, socket in enumerate(sockets):
            if socket in self.trade_sockets:
                socket.send(frame)
            await _breathe(number)
        FRAMES.labels("trades").inc(len(self.trade_sockets))

    async def _send_delta(self, book: Book) -> None:
        targets = tuple(self.book_sockets - self._joining)
        frame = frames.delta(self.market_id, book, book.take_delta())
        for number, socket in enumerate(targets):
            if socket in self.book_sockets and socket not in self._joining:
                socket.send_book(self.market_id, frame)
            await _breathe(number)
        FRAMES.labels("book").inc(len(targets))

    async def _send_snapshots(self, book: Book) -> None:
        targets = tuple(self._joining)
        frame = frames.snapshot(self.market_id, book)
        for number, socket in enumerate(targets):
            if self._book is not book:
                return  # read anew meanwhile: who still waits gets that one
            if socket in self._joining:
                self._joining.discard(socket)
                socket.behind.discard(self.market_id)
                socket.send_book(self.market_id, frame)
            await _breathe(number)
        FRAMES.labels("book").inc(len(targets))

    def _begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """At most one of a name at a time."""
        running = self._tasks.get(name)
        if running is None or running.done():
            self._tasks[name] = asyncio.create_task(_reported(work, name), name=f"{name} {self.market_id}")


async def _reported(work: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await work()
    except Exception as error:  # nobody awaits these tasks: say it, and let the task end as failed
        log.error("a feed's task failed", task=name, exc_info=error)
        raise


async def _breathe(number: int) -> None:
    """Others may go on after each slice of sockets."""
    if number % SLICE_SOCKETS == SLICE_SOCKETS - 1:
        await asyncio.sleep(0)
