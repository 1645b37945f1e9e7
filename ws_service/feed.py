"""One market's live feed: its book's replica, its ticker, its trades, and the sockets that follow them.

The bus may repeat, reorder around a takeover, or lose. Book messages chain by `prev_seq`: on a gap the book is read
anew and every reader gets a snapshot. Trades chain too (`trade_chain.py`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from engine.published_book import Book, BookMessage, Figures
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from ws_service import frames
from ws_service.bus_messages import TradeMessage
from ws_service.days import Yesterday
from ws_service.fan_out import in_slices
from ws_service.metrics import FRAMES, REFETCHES
from ws_service.socket import CLOSE_INTERNAL, Socket
from ws_service.ticker import differ, ticker
from ws_service.trade_chain import Recover, TradeChain
from ws_service.watched import stop, watched

log = get_logger(__name__)

HELD_MAX = 2_000
RELOAD_WAITS_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A market as order_service gives it."""

    book: Book
    last_trade_seq: int
    figures: Figures
    tick_micros: int


Load = Callable[[str], Awaitable[Loaded]]


class MarketFeed:
    """Lives while something follows the market (`pins` counts). Used on the loop's thread only.

    `everywhere`: sockets that follow the tickers of all markets."""

    def __init__(
        self,
        market_id: str,
        *,
        load: Load,
        recover: Recover,
        yesterday: Callable[[str], Yesterday | None],
        merge_seconds: float,
        everywhere: set[Socket],
    ) -> None:
        self.market_id = market_id
        self.book_sockets: set[Socket] = set()
        self.trade_sockets: set[Socket] = set()
        self.ticker_sockets: set[Socket] = set()
        self.pins = 0
        self._load = load
        self._yesterday = yesterday
        self._merge_seconds = merge_seconds
        self._everywhere = everywhere
        self._book: Book | None = None
        self._figures: Figures | None = None
        self._tick_micros = 0
        self._held: deque[BookMessage] = deque(maxlen=HELD_MAX)
        self._joining: set[Socket] = set()
        self._ticker_joining: set[Socket] = set()
        self._ticker: dict[str, Any] | None = None
        self._ticker_seq = -1
        self._book_due = 0.0
        self._ticker_due = 0.0
        self._wake = asyncio.Event()
        self._trades = TradeChain(market_id, recover, wake=self._wake.set, on_failure=self._failed)
        self._pumping: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the book. Raises ApiError (MARKET_NOT_FOUND, UNAVAILABLE)."""
        self._take_over(await self._load(self.market_id))
        self._pumping = watched(self._pump(), f"pump {self.market_id}", self._failed)

    async def stop(self) -> None:
        """Ends its tasks."""
        await stop(tuple(task for task in (self._pumping, self._reloading) if task is not None))
        await self._trades.stop()

    def follow(self, channel: str, socket: Socket) -> None:
        """From the next moment on: of a book or a ticker the present state, then changes; of trades what comes."""
        self._sockets(channel).add(socket)
        self.give_anew(channel, socket)

    def give_anew(self, channel: str, socket: Socket) -> None:
        """The present state to a follower that asked, or was behind."""
        if channel != "trades" and (socket in self._sockets(channel) or socket in self._everywhere):
            (self._joining if channel == "book" else self._ticker_joining).add(socket)
            self._wake.set()

    def leave(self, channel: str, socket: Socket) -> None:
        self._sockets(channel).discard(socket)
        (self._joining if channel == "book" else self._ticker_joining).discard(socket)
        socket.behind.discard((channel, self.market_id))

    def on_book(self, message: BookMessage) -> None:
        """A message of the bus."""
        if self._book is None:
            self._held.append(message)
        elif self._book.is_gap(message):
            self._held.append(message)
            self.reload()
        else:
            self._apply(self._book, message)
            self._wake.set()

    def on_trade(self, message: TradeMessage) -> None:
        """A message of the bus."""
        self._trades.take(message)

    def reload(self) -> None:
        """Read the book anew; readers get a snapshot of it."""
        self._book = None
        if self._reloading is None or self._reloading.done():
            self._reloading = watched(self._reload(), f"reload {self.market_id}", self._failed)

    def _sockets(self, channel: str) -> set[Socket]:
        return {"book": self.book_sockets, "trades": self.trade_sockets, "ticker": self.ticker_sockets}[
            channel
        ]

    def _apply(self, book: Book, message: BookMessage) -> None:
        before = book.seq
        book.apply(message)
        if book.seq != before and (self._figures is None or message.figures.seq > self._figures.seq):
            self._figures = message.figures

    def _take_over(self, loaded: Loaded) -> None:
        """The read book, with what came meanwhile. What still does not chain asks for another read."""
        book, self._figures, self._tick_micros = loaded.book, loaded.figures, loaded.tick_micros
        held, missing = tuple(self._held), False
        self._held.clear()
        for message in held:
            missing = missing or book.is_gap(message)
            if missing:
                self._held.append(message)
            else:
                self._apply(book, message)
        if missing:
            raise ApiError(ErrorCode.UNAVAILABLE)
        book.take_delta()
        self._book = book
        self._joining.update(self.book_sockets)
        self._trades.begin(loaded.last_trade_seq)
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

    async def _pump(self) -> None:
        """The only writer of this market's frames, so that each socket sees them in one order."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wait(loop.time())
            while self._trades.outgoing:
                await self._send_trade(self._trades.outgoing.popleft())
            if self._book is not None and self._book.is_ahead and loop.time() >= self._book_due:
                self._book_due = loop.time() + self._merge_seconds
                await self._send_delta(self._book)
            if self._book is not None and self._joining and not self._book.is_ahead:
                await self._send_snapshots(self._book)
            await self._send_tickers(loop.time())

    async def _wait(self, now: float) -> None:
        """Until something came, or a change that was held back is due."""
        due = []
        if self._book is not None and self._book.is_ahead:
            due.append(self._book_due)
        if self._ticker_is_ahead():
            due.append(self._ticker_due)
        try:
            async with asyncio.timeout(max(0.0, min(due) - now) if due else None):
                await self._wake.wait()
            self._wake.clear()
        except TimeoutError:
            return

    async def _send_trade(self, frame: bytes) -> None:
        targets = self.trade_sockets

        def write(socket: Socket) -> None:
            if socket in targets:
                socket.send(frame)

        await in_slices(tuple(targets), write)
        FRAMES.labels("trades").inc(len(targets))

    async def _send_delta(self, book: Book) -> None:
        targets = tuple(self.book_sockets - self._joining)
        frame = frames.delta(self.market_id, book, book.take_delta())
        key = ("book", self.market_id)

        def write(socket: Socket) -> None:
            if socket in self.book_sockets and socket not in self._joining:
                socket.send_latest(key, frame)

        await in_slices(targets, write)
        FRAMES.labels("book").inc(len(targets))

    async def _send_snapshots(self, book: Book) -> None:
        targets = tuple(self._joining)
        frame = frames.snapshot(self.market_id, book)
        key = ("book", self.market_id)

        def write(socket: Socket) -> None:
            # Read anew meanwhile: who still waits gets that one.
            if self._book is book and socket in self._joining:
                self._joining.discard(socket)
                socket.behind.discard(key)
                socket.send_latest(key, frame)

        await in_slices(targets, write)
        FRAMES.labels("book").inc(len(targets))

    def _ticker_is_ahead(self) -> bool:
        has_readers = bool(self.ticker_sockets or self._everywhere)
        return has_readers and self._book is not None and self._book.seq != self._ticker_seq

    async def _send_tickers(self, now: float) -> None:
        """To everybody when a figure has changed; else to those who wait for the present one."""
        book, figures = self._book, self._figures
        if book is None or figures is None:
            return
        key = ("ticker", self.market_id)
        targets: set[Socket] = set(self._ticker_joining)
        if self._ticker_is_ahead() and now >= self._ticker_due:
            self._ticker_due = now + self._merge_seconds
            self._ticker_seq = book.seq
            fields = self._ticker_of(book, figures)
            if differ(self._ticker, fields):
                self._ticker = fields
                targets |= self.ticker_sockets | self._everywhere
        if not targets:
            return
        if self._ticker is None:
            self._ticker = self._ticker_of(book, figures)
        self._ticker_joining.clear()
        frame = frames.message("ticker", **self._ticker)

        def write(socket: Socket) -> None:
            if socket in self.ticker_sockets or socket in self._everywhere:
                socket.behind.discard(key)
                socket.send_latest(key, frame)

        await in_slices(tuple(targets), write)
        FRAMES.labels("ticker").inc(len(targets))

    def _ticker_of(self, book: Book, figures: Figures) -> dict[str, Any]:
        yesterday = self._yesterday(self.market_id)
        return ticker(self.market_id, book, figures, tick_micros=self._tick_micros, yesterday=yesterday)

    def _failed(self) -> None:
        """A defect of ours: its readers are told to come back rather than left without news."""
        for socket in self.book_sockets | self.trade_sockets | self.ticker_sockets:
            socket.close(CLOSE_INTERNAL, "internal error")
