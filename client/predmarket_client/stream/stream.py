"""The stream: what is wanted on one side, a connection that comes and goes on the other, brought in line for ever."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from predmarket_client.credentials import Credentials
from predmarket_client.errors import ApiError, NoAnswer, PredmarketError, ProtocolError
from predmarket_client.stream.book import Verdict
from predmarket_client.stream.connection import Connection, ConnectionEnded
from predmarket_client.stream.feeds import FEED_MAX, Feed, LatestFeed, LiveBook, OwnFeed, Target
from predmarket_client.stream.frames import (
    BookDelta,
    BookSnapshot,
    ErrorFrame,
    Frame,
    OwnBalance,
    OwnFill,
    OwnOrder,
    OwnPosition,
    Status,
    Ticker,
    TradeFrame,
)

EVERY = "*"
MARKETS_PER_COMMAND_MAX = 200
OPEN_SECONDS = 30.0
TICK_SECONDS = 0.5
ASK_JITTER_SECONDS = 0.25
ASK_AGAIN_SECONDS = 1.0
ASKS_MAX = 5
RECONNECT_FIRST_SECONDS = 0.2
RECONNECT_MAX_SECONDS = 10.0
STABLE_SECONDS = 10.0

Key = tuple[str, str]
"""(channel, market id or *)."""
OWN: Key = ("user", "")
Opened = TypeVar("Opened", bound=Target)
Connect = Callable[[str | None], Awaitable[Connection]]
UserSeq = Callable[[], Awaitable[int]]
"""The number of the caller's last event."""


class Stream:
    """Use as an async context manager. Reconnects by itself, and asks for everything again that was wanted."""

    def __init__(
        self,
        connect: Connect,
        credentials: Credentials,
        user_seq: UserSeq,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.connections = 0
        """How many were made so far."""
        self._connect = connect
        self._credentials = credentials
        self._user_seq = user_seq
        self._chance = chance
        self._wanted: dict[Key, Target] = {}
        self._unaligned = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._failure: PredmarketError | None = None
        self._resuming = False

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="predmarket stream")
        self._running.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        for target in self._wanted.values():
            target.fail(NoAnswer("the stream was closed"))

    async def book(self, market_id: str) -> LiveBook:
        """The market's book, once it is there; it keeps itself from then on. Raises ApiError, NoAnswer."""
        return await self._open("book", market_id, LiveBook(market_id))

    async def trades(self, market_id: str, *, frames_max: int = FEED_MAX) -> Feed[TradeFrame]:
        """The market's trades from now on."""
        return await self._open("trades", market_id, Feed[TradeFrame](frames_max))

    async def status(self, market_id: str = EVERY, *, frames_max: int = FEED_MAX) -> Feed[Status]:
        """A market's status as it is and as it changes; of all markets only changes."""
        return await self._open("status", market_id, Feed[Status](frames_max))

    async def ticker(self, market_id: str = EVERY) -> LatestFeed:
        """The newest figures of a market, or of all."""
        return await self._open("ticker", market_id, LatestFeed())

    async def own(self, *, since_user_seq: int | None = None, frames_max: int = FEED_MAX) -> OwnFeed:
        """Your own orders, fills, balances and positions, from now on or after `since_user_seq`, without gaps."""
        if since_user_seq is None:
            since_user_seq = await self._user_seq()
        return await self._open("user", "", OwnFeed(since_user_seq, self._resume_own, frames_max))

    def close(self, target: Target) -> None:
        """Follow it no more."""
        for key in [key for key, each in self._wanted.items() if each is target]:
            del self._wanted[key]
        target.fail(NoAnswer("closed"))
        self._unaligned.set()

    async def _open(self, channel: str, market_id: str, target: Opened) -> Opened:
        key = (channel, market_id)
        if key in self._wanted:
            raise ValueError(f"{channel} {market_id} is open already; share it, or use another stream")
        if self._failure is not None:
            raise self._failure
        self._wanted[key] = target
        self._unaligned.set()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await target.opened()
        except TimeoutError:
            self.close(target)
            raise NoAnswer(f"{channel} {market_id} did not begin within {OPEN_SECONDS:.0f} s") from None
        return target

    async def _run(self) -> None:
        attempt = 0
        while True:
            began = time.monotonic()
            wait_seconds = 0.0
            try:
                await self._one_connection()
            except ConnectionEnded as ended:
                wait_seconds = ended.wait_seconds
            except (NoAnswer, ProtocolError):
                pass  # away, or a frame that makes no sense: begin anew
            except ApiError as error:
                if not (error.retryable or error.status in (0, 429, 502, 503, 504)):
                    self._fail(error)
                    return
            for target in self._wanted.values():
                target.interrupted()
            attempt = 1 if time.monotonic() - began > STABLE_SECONDS else attempt + 1
            longest = min(RECONNECT_MAX_SECONDS, RECONNECT_FIRST_SECONDS * 2 ** (attempt - 1))
            await asyncio.sleep(wait_seconds + longest * (1 + self._chance()) / 2)

    async def _one_connection(self) -> None:
        """Until it ends, which is raised."""
        async with self._connected() as connection:
            self.connections += 1
            self._unaligned.set()
            reading = asyncio.create_task(connection.read(self._take))
            aligning = asyncio.create_task(self._keep_in_line(connection))
            try:
                await asyncio.wait((reading, aligning), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, aligning):
                    task.cancel()
                ends = await asyncio.gather(reading, aligning, return_exceptions=True)
            for end in ends:
                if isinstance(end, ConnectionEnded) and end.expired:
                    await self._renew()
            for end in ends:
                if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                    raise end

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        header = await self._credentials.authorization()
        try:
            connection = await self._connect(header)
        except ApiError as error:
            if error.status != 401 or header is None or not await self._credentials.renew(header):
                raise
            connection = await self._connect(await self._credentials.authorization())
        try:
            yield connection
        finally:
            await connection.close()

    async def _renew(self) -> None:
        header = await self._credentials.authorization()
        if header is not None:
            await self._credentials.renew(header)

    async def _keep_in_line(self, connection: Connection) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._unaligned.wait()
            self._unaligned.clear()
            unwanted = connection.following - self._wanted.keys()
            if self._resuming:
                unwanted |= connection.following & {OWN}
            self._resuming = False
            await self._unsubscribe(connection, unwanted)
            missing = self._wanted.keys() - connection.following
            for channel, market_ids in _grouped(missing).items():
                for chunk in _chunks(market_ids):
                    await self._subscribe(connection, channel, chunk)
            await self._ask_for_snapshots(connection)

    async def _subscribe(self, connection: Connection, channel: str, market_ids: list[str]) -> None:
        """One refused market refuses the whole command: then each is asked for alone."""
        keys = [(channel, market_id) for market_id in market_ids]
        targets = [target for key in keys if (target := self._wanted.get(key)) is not None]
        for target in targets:
            if isinstance(target, LiveBook):
                target.asked, target.asked_at = 0, time.monotonic()  # its snapshot comes by itself
        try:
            await connection.command("subscribe", channel=channel, **_subject(channel, market_ids, targets))
        except ApiError as error:
            if error.code == "RESUME_UNAVAILABLE":
                for target in targets:
                    assert isinstance(target, OwnFeed)
                    target.lost(error.code)
                self._unaligned.set()
            elif error.retryable:
                await asyncio.sleep(ASK_JITTER_SECONDS * (1 + self._chance()))
                self._unaligned.set()
            elif len(market_ids) > 1:
                for market_id in market_ids:
                    await self._subscribe(connection, channel, [market_id])
            else:
                self._wanted.pop(keys[0], None)
                for target in targets:
                    target.fail(error)
            return
        connection.following.update(keys)
        for target in targets:
            if not isinstance(target, LiveBook):
                target.begin()  # a book begins with its first snapshot

    async def _unsubscribe(self, connection: Connection, keys: Iterable[Key]) -> None:
        for channel, market_ids in _grouped(keys).items():
            for chunk in _chunks(market_ids):
                await connection.command("unsubscribe", channel=channel, **_subject(channel, chunk, ()))
                connection.following.difference_update((channel, market_id) for market_id in chunk)

    async def _ask_for_snapshots(self, connection: Connection) -> None:
        """Of books in doubt; one that stays so, however often it is asked for, ends the connection."""
        now = time.monotonic()
        doubtful = [
            target
            for key in connection.following
            if isinstance(target := self._wanted.get(key), LiveBook)
            and not target.is_current
            and now - target.asked_at >= ASK_AGAIN_SECONDS
        ]
        for book in doubtful:
            book.asked, book.asked_at = book.asked + 1, now
            if book.asked > ASKS_MAX:
                raise ConnectionEnded(f"no book of {book.market_id}")
        for chunk in _chunks([book.market_id for book in doubtful]):
            await connection.send(cmd="snapshot", channel="book", market_ids=chunk)

    def _take(self, frame: Frame) -> None:
        match frame:
            case BookSnapshot() | BookDelta():
                self._take_book(frame)
            case TradeFrame():
                self._put("trades", frame.market_id, frame)
            case Status():
                self._put("status", frame.market_id, frame)
                self._put("status", EVERY, frame)
            case Ticker():
                self._put("ticker", frame.market_id, frame)
                self._put("ticker", EVERY, frame)
            case OwnOrder() | OwnFill() | OwnBalance() | OwnPosition():
                self._put("user", "", frame)
            case ErrorFrame(code="RESUME_UNAVAILABLE", channel="user"):
                self._own_missing(frame.code)
            case ErrorFrame(code="RESUME_UNAVAILABLE"):
                self._missing(frame.market_id, frame.code)

    def _take_book(self, frame: BookSnapshot | BookDelta) -> None:
        book = self._wanted.get(("book", frame.market_id))
        if not isinstance(book, LiveBook):
            return  # closed just now
        verdict = book.take_snapshot(frame) if isinstance(frame, BookSnapshot) else book.take_delta(frame)
        if verdict is Verdict.CHANGED:
            book.asked = 0
            book.begin()
            book.tell()
        elif verdict is Verdict.DOUBT:
            book.tell()
            book.asked_at = 0.0
            asyncio.get_running_loop().call_later(ASK_JITTER_SECONDS * self._chance(), self._unaligned.set)

    def _put(self, channel: str, market_id: str, frame: Any) -> None:
        target = self._wanted.get((channel, market_id))
        if isinstance(target, Feed | LatestFeed):
            target.put(frame)

    def _missing(self, market_id: str | None, reason: str) -> None:
        """Trades are missing, of one market or, when none is named, perhaps of each."""
        for (channel, followed), target in self._wanted.items():
            if channel == "trades" and market_id in (None, followed) and isinstance(target, Feed):
                target.gap(reason)

    def _own_missing(self, reason: str) -> None:
        target = self._wanted.get(OWN)
        if isinstance(target, OwnFeed):
            target.lost(reason)

    def _resume_own(self) -> None:
        """Subscribe to the own events anew, from the last one taken."""
        self._resuming = True
        self._unaligned.set()

    def _ended(self, running: asyncio.Task[None]) -> None:
        """By a mistake of ours: nobody may wait for ever, and leaving the stream raises it."""
        if not running.cancelled() and running.exception() is not None:
            self._fail(ProtocolError("the stream has ended by a mistake of its own"))

    def _fail(self, error: PredmarketError) -> None:
        self._failure = error
        for target in self._wanted.values():
            target.fail(error)


def _grouped(keys: Iterable[Key]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for channel, market_id in sorted(keys):
        groups[channel].append(market_id)
    return groups


def _chunks(market_ids: list[str]) -> list[list[str]]:
    size = MARKETS_PER_COMMAND_MAX
    return [market_ids[start : start + size] for start in range(0, len(market_ids), size)]


def _subject(channel: str, market_ids: list[str], targets: Iterable[Target]) -> dict[str, Any]:
    """The fields of a command that say of what."""
    if channel != "user":
        return {"market_ids": market_ids}
    since = [
        each.last_user_seq for each in targets if isinstance(each, OwnFeed) and each.last_user_seq is not None
    ]
    return {"since_user_seq": since[0]} if since else {}
