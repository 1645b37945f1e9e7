"""Who follows what: feeds by market, status by market, and all sockets for heartbeats and the goaway."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from runtime.clock import Clock, to_rfc3339
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from ws_service import frames
from ws_service.bus_messages import book_message, status_message, trade_message
from ws_service.feed import MarketFeed
from ws_service.metrics import BAD_BUS_MESSAGES, SOCKETS
from ws_service.socket import CLOSE_GOING_AWAY, Socket
from ws_service.sources import Sources

log = get_logger(__name__)

EVERY = "*"
TICK_SECONDS = 0.05
STATUS_SEQS_MAX = 100_000
STATUS_SUBJECT = "market.*.status"

Begin = Callable[[Socket | None], None]


class Hub:
    """Used on the loop's thread only."""

    def __init__(self, bus: Client, sources: Sources, *, clock: Clock, merge_seconds: float) -> None:
        self.sockets: set[Socket] = set()
        self.is_draining = False
        self._bus = bus
        self._sources = sources
        self._clock = clock
        self._merge_seconds = merge_seconds
        self._feeds: dict[str, MarketFeed] = {}
        self._starting: dict[str, asyncio.Task[MarketFeed]] = {}
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._status: defaultdict[str, set[Socket]] = defaultdict(set)
        self._status_seqs: dict[str, int] = {}

    async def start(self) -> None:
        """Status messages are few: one subscription for all markets."""
        await self._bus.subscribe(STATUS_SUBJECT, cb=_checked(self._on_status))

    async def stop(self) -> None:
        """Ends every feed."""
        for market_id in tuple(self._feeds):
            await self._end(market_id)

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
        feed = await self._feed(market_id)

        def begin(socket: Socket | None) -> None:
            key = (channel, market_id)
            if socket is None or socket.is_closing or key in socket.subscriptions:
                feed.pins -= 1  # an unpinned feed ends at the next tick
                return
            socket.subscriptions.add(key)
            if channel == "book":
                feed.follow_book(socket)
            else:
                feed.trade_sockets.add(socket)

        return begin

    def unsubscribe(self, socket: Socket, channel: str, market_id: str) -> None:
        """Of what is not followed: nothing."""
        if (channel, market_id) not in socket.subscriptions:
            return
        socket.subscriptions.discard((channel, market_id))
        if channel == "status":
            self._status[market_id].discard(socket)
            if not self._status[market_id]:
                del self._status[market_id]
            return
        feed = self._feeds[market_id]
        if channel == "book":
            feed.leave_book(socket)
        else:
            feed.trade_sockets.discard(socket)
        feed.pins -= 1

    def snapshot(self, socket: Socket, market_id: str) -> None:
        """Raises INVALID_ARGUMENT when the book is not followed."""
        if ("book", market_id) not in socket.subscriptions:
            raise ApiError(ErrorCode.INVALID_ARGUMENT, "subscribe to the market's book first")
        self._feeds[market_id].give_snapshot(socket)

    async def tick(self) -> None:
        """For ever: slow sockets that caught up get snapshots, unused feeds end, and after the bus was away every
        book is read anew."""
        reconnects = self._bus.stats["reconnects"]
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for socket in [socket for socket in self.sockets if socket.is_slow or socket.behind]:
                if socket.catch_up():
                    for market_id in tuple(socket.behind):
                        if market_id in self._feeds:
                            self._feeds[market_id].give_snapshot(socket)
            if self._bus.stats["reconnects"] != reconnects:
                reconnects = self._bus.stats["reconnects"]
                for feed in self._feeds.values():
                    feed.reload()
            for feed in [feed for feed in self._feeds.values() if feed.pins == 0]:
                await self._end(feed.market_id)

    async def beat(self, seconds: float) -> None:
        """For ever: a heartbeat to everybody."""
        while True:
            await asyncio.sleep(seconds)
            frame = frames.message("heartbeat", time=to_rfc3339(self._clock.now_micros()))
            for number, socket in enumerate(tuple(self.sockets)):
                socket.send(frame)
                if number % 200 == 199:
                    await asyncio.sleep(0)

    async def drain(self, spread_seconds: float) -> None:
        """Tells everybody to come back elsewhere, then closes, spread so that they do not all return at once."""
        self.is_draining = True
        sockets = tuple(self.sockets)
        for number, socket in enumerate(sockets):
            share = spread_seconds * number / len(sockets)
            socket.send(frames.message("goaway", reconnect_after_ms=round(share * 1_000)))
        pause = min(0.05, spread_seconds / max(1, len(sockets)))
        for socket in sockets:
            socket.close(CLOSE_GOING_AWAY, "going away")
            await asyncio.sleep(pause)
        await asyncio.gather(*(socket.closed() for socket in sockets))

    async def _prepare_status(self, market_id: str) -> Begin:
        """A named market's present status comes first."""
        fields = None if market_id == EVERY else await self._sources.status(market_id)

        def begin(socket: Socket | None) -> None:
            if socket is None or socket.is_closing or ("status", market_id) in socket.subscriptions:
                return
            socket.subscriptions.add(("status", market_id))
            self._status[market_id].add(socket)
            if fields is not None:
                socket.send(frames.message("status", time=to_rfc3339(self._clock.now_micros()), **fields))

        return begin

    async def _feed(self, market_id: str) -> MarketFeed:
        """Pinned for the caller. Several who ask at once share one start."""
        feed = self._feeds.get(market_id)
        if feed is None:
            starting = self._starting.get(market_id)
            if starting is None:
                starting = asyncio.create_task(self._start(market_id), name=f"start {market_id}")
                self._starting[market_id] = starting
            feed = await asyncio.shield(starting)
            if self._feeds.get(market_id) is not feed:  # it ended between its start and our turn
                return await self._feed(market_id)
        feed.pins += 1
        return feed

    async def _start(self, market_id: str) -> MarketFeed:
        """Messages first, then the book: what comes between is held by the feed."""
        feed = MarketFeed(
            market_id,
            load=self._sources.book,
            recover=self._sources.trades,
            merge_seconds=self._merge_seconds,
        )

        async def on_book(message: Msg) -> None:
            feed.on_book(book_message(message.data))

        async def on_trade(message: Msg) -> None:
            feed.on_trade(trade_message(message.data))

        subscriptions: list[Subscription] = []
        try:
            for name, handler in (("book", on_book), ("trade", on_trade)):
                subject = f"market.{market_id}.{name}"
                subscriptions.append(await self._bus.subscribe(subject, cb=_checked(handler)))
            await self._bus.flush()
            await feed.start()
        except BaseException:
            await _unsubscribe(subscriptions)
            raise
        finally:
            del self._starting[market_id]
        self._feeds[market_id] = feed
        self._subscriptions[market_id] = subscriptions
        return feed

    async def _end(self, market_id: str) -> None:
        feed = self._feeds.pop(market_id)
        await _unsubscribe(self._subscriptions.pop(market_id))
        await feed.stop()

    async def _on_status(self, message: Msg) -> None:
        status = status_message(message.data)
        if status.seq <= self._status_seqs.get(status.market_id, 0):
            return
        self._status_seqs[status.market_id] = status.seq
        if len(self._status_seqs) > STATUS_SEQS_MAX:
            del self._status_seqs[next(iter(self._status_seqs))]
        frame = frames.message("status", **status.fields)
        for socket in self._status.get(status.market_id, set()) | self._status.get(EVERY, set()):
            socket.send(frame)


def _checked(handler: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Any]:
    """A message that does not fit must not end the subscription."""

    async def handle(message: Msg) -> None:
        try:
            await handler(message)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            BAD_BUS_MESSAGES.inc()
            log.error("a bus message does not fit", subject=message.subject, exc_info=error)

    return handle


async def _unsubscribe(subscriptions: list[Subscription]) -> None:
    for subscription in subscriptions:
        if not subscription._closed:
            await subscription.unsubscribe()
