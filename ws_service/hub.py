"""Who follows what: markets, users, status, and all sockets for heartbeats and the goaway."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from engine.published_book import book_message
from runtime.bus import until_taken
from runtime.clock import Clock, to_rfc3339
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from ws_service import frames
from ws_service.bus_handlers import listen
from ws_service.bus_messages import status_message, trade_message, user_message
from ws_service.fan_out import slices
from ws_service.feed import MarketFeed
from ws_service.feeds import Feeds
from ws_service.metrics import SOCKETS
from ws_service.socket import CLOSE_GOING_AWAY, Backlog, Socket
from ws_service.sources import Sources, user_subject
from ws_service.status import EVERY, StatusBoard
from ws_service.tickers import AllTickers
from ws_service.user_feed import UserFeed

log = get_logger(__name__)

TICK_SECONDS = 0.05
STATUS_SUBJECT = "market.*.status"
DEAD_LINE_SECONDS = 30.0
"""A broken connection to the bus is noticed so late, at most: what was told since then may have been missed."""

Begin = Callable[[Socket | None], None]


class Hub:
    """Used on the loop's thread only."""

    def __init__(
        self, bus: Client, sources: Sources, backlog: Backlog, *, clock: Clock, merge_seconds: float
    ) -> None:
        self.sockets: set[Socket] = set()
        self.is_draining = False
        self._bus = bus
        self._sources = sources
        self._backlog = backlog
        self._clock = clock
        self._merge_seconds = merge_seconds
        self._status = StatusBoard(clock)
        self._markets = Feeds(self._open_market)
        self._users = Feeds(self._open_user)
        self._tickers = AllTickers(bus, self._markets)
        self._is_looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Status messages are few: one subscription for all markets."""
        await listen(self._bus, STATUS_SUBJECT, lambda data: self._status.take(status_message(data)))
        await self._bus.flush()

    async def stop(self) -> None:
        """Ends every feed."""
        await self._tickers.stop()
        await self._markets.stop()
        await self._users.stop()

    def markets(self) -> list[str]:
        """Those that somebody follows."""
        return [feed.market_id for feed in self._markets.all()]

    def add(self, socket: Socket) -> None:
        self.sockets.add(socket)
        SOCKETS.set(len(self.sockets))

    def remove(self, socket: Socket) -> None:
        """The client has left."""
        self.sockets.discard(socket)
        SOCKETS.set(len(self.sockets))
        for channel, market_id in tuple(socket.subscriptions):
            self.unsubscribe(socket, channel, market_id)

    async def prepare(self, channel: str, market_id: str) -> Begin:
        """Gets ready to follow; call the answer with the socket, or None to let go. Raises ApiError."""
        if channel == "status":
            return await self._prepare_status(market_id)
        if (channel, market_id) == ("ticker", EVERY):
            return await self._prepare_all_tickers()
        feed = await self._markets.pinned(market_id)

        def begin(socket: Socket | None) -> None:
            if socket is None or not _is_new(socket, channel, market_id):
                feed.pins -= 1  # an unpinned feed ends at the next tick
            else:
                feed.follow(channel, socket)

        return begin

    async def prepare_user(self, user_id: str, since_seq: int | None) -> tuple[int | None, Begin]:
        """The same for the own events, and the number they are told from (None: whatever comes next)."""
        feed = await self._users.pinned(user_id)
        try:
            place = await feed.place(since_seq)
        except BaseException:
            feed.pins -= 1
            raise

        def begin(socket: Socket | None) -> None:
            if socket is None or not _is_new(socket, "user", user_id):
                feed.let_go(place)
                feed.pins -= 1
            else:
                feed.follow(socket, place)

        return place.after_seq, begin

    def unsubscribe(self, socket: Socket, channel: str, name: str) -> None:
        """Of what is not followed: nothing. `name`: the market, `*`, or the user."""
        if (channel, name) not in socket.subscriptions:
            return
        socket.subscriptions.discard((channel, name))
        if channel == "status":
            self._status.leave(socket, name)
        elif channel == "user":
            user = self._users.get(name)
            if user is not None:  # else all feeds have ended, because the process stops
                user.sockets.pop(socket)
                user.pins -= 1
        elif name == EVERY:
            self._tickers.leave(socket)
        else:
            feed = self._markets.get(name)
            if feed is not None:
                feed.leave(channel, socket)
                feed.pins -= 1

    def snapshot(self, socket: Socket, market_id: str) -> None:
        """Raises INVALID_ARGUMENT when the book is not followed."""
        feed = self._markets.get(market_id)
        if feed is None or ("book", market_id) not in socket.subscriptions:
            raise ApiError(ErrorCode.INVALID_ARGUMENT, "subscribe to the market's book first")
        feed.give_anew("book", socket)

    async def tick(self) -> None:
        """For ever: slow sockets that caught up are given the present state, unused feeds end, and after the bus was
        away everything is looked at anew."""
        reconnects = self._bus.stats["reconnects"]
        connected_at = self._clock.monotonic_seconds()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for socket in tuple(self._backlog.slow):
                self._let_catch_up(socket)
            if self._bus.stats["reconnects"] != reconnects:
                reconnects = self._bus.stats["reconnects"]
                away_seconds = self._clock.monotonic_seconds() - connected_at
                self._look_anew(timedelta(seconds=away_seconds + DEAD_LINE_SECONDS))
            if self._bus.is_connected:
                connected_at = self._clock.monotonic_seconds()
            await self._tickers.settle()
            await self._markets.end_unused()
            await self._users.end_unused()

    async def beat(self, seconds: float) -> None:
        """For ever: a heartbeat to everybody, in each interval, spread over it."""
        while True:
            parts = list(slices(tuple(self.sockets))) or [()]
            for part in parts:
                frame = frames.message("heartbeat", time=to_rfc3339(self._clock.now_micros()))
                for socket in part:
                    socket.send(frame)
                await asyncio.sleep(seconds / len(parts))

    async def drain(self, spread_seconds: float) -> None:
        """Tells everybody to come back elsewhere, then closes, spread so that they do not all return at once."""
        self.is_draining = True
        sockets = tuple(self.sockets)
        if not sockets:
            return
        for number, socket in enumerate(sockets):
            share = spread_seconds * number / len(sockets)
            socket.send(frames.message("goaway", reconnect_after_ms=round(share * 1_000)))
        steps = max(1, round(spread_seconds / TICK_SECONDS))
        for step in range(steps):
            for socket in sockets[step::steps]:
                socket.close(CLOSE_GOING_AWAY, "going away")
            await asyncio.sleep(spread_seconds / steps)
        await asyncio.gather(*(socket.closed() for socket in sockets))

    def _let_catch_up(self, socket: Socket) -> None:
        if not socket.catch_up():
            return
        for channel, market_id in tuple(socket.behind):
            feed = self._markets.get(market_id)
            if feed is not None:
                feed.give_anew(channel, socket)
            socket.behind.discard((channel, market_id))

    def _look_anew(self, reach: timedelta) -> None:
        for feed in self._markets.all():
            feed.reload()
        for user in self._users.all():
            user.look()
        if self._is_looking is None or self._is_looking.done():
            self._is_looking = asyncio.create_task(self._look_for_statuses(reach), name="statuses")

    async def _look_for_statuses(self, reach: timedelta) -> None:
        self._status.take_all(await self._sources.statuses(reach))

    async def _prepare_status(self, market_id: str) -> Begin:
        """A named market's present status comes first."""
        present = None if market_id == EVERY else await self._sources.status(market_id)

        def begin(socket: Socket | None) -> None:
            if socket is not None and _is_new(socket, "status", market_id):
                self._status.follow(socket, market_id, present)

        return begin

    async def _prepare_all_tickers(self) -> Begin:
        await self._tickers.listen()

        def begin(socket: Socket | None) -> None:
            if socket is None or not _is_new(socket, "ticker", EVERY):
                self._tickers.let_go()
            else:
                self._tickers.follow(socket)

        return begin

    async def _open_market(self, market_id: str, subscriptions: list[Subscription]) -> MarketFeed:
        """Messages first, then the book: what comes between is held by the feed."""
        feed = MarketFeed(
            market_id,
            load=self._sources.market,
            recover=self._sources.trades,
            yesterday=self._sources.days.of,
            merge_seconds=self._merge_seconds,
            everywhere=self._tickers.sockets,
        )
        subject = f"market.{market_id}"
        subscriptions.append(
            await listen(self._bus, f"{subject}.book", lambda data: feed.on_book(book_message(data)))
        )
        subscriptions.append(
            await listen(self._bus, f"{subject}.trade", lambda data: feed.on_trade(trade_message(data)))
        )
        await until_taken(self._bus)
        await feed.start()
        return feed

    async def _open_user(self, user_id: str, subscriptions: list[Subscription]) -> UserFeed:
        feed = UserFeed(user_id, self._sources)
        subject = user_subject(user_id)
        subscriptions.append(
            await listen(self._bus, subject, lambda data: feed.on_message(user_message(data)))
        )
        await until_taken(self._bus)
        await feed.start()
        return feed


def _is_new(socket: Socket, channel: str, name: str) -> bool:
    """Notes the subscription of a socket that is still there and has not got it."""
    if socket.is_closing or (channel, name) in socket.subscriptions:
        return False
    socket.subscriptions.add((channel, name))
    return True
