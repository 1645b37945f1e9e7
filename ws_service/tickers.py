"""The tickers of all markets: while somebody follows them, every market that changes has a feed."""

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from runtime.bus import until_taken
from runtime.logs import get_logger
from runtime.surprises import as_api_error
from ws_service.bus_handlers import stop_listening
from ws_service.feed import MarketFeed
from ws_service.feeds import Feeds
from ws_service.socket import Socket

log = get_logger(__name__)

SUBJECT = "market.*.book"
DRAFT = b'"status":"DRAFT"'
STARTING_MAX = 1_000
"""Markets whose first change is being looked at; of one more the next change is."""


class AllTickers:
    """`sockets` is read by every feed, whenever it has a ticker to show."""

    def __init__(self, bus: Client, markets: Feeds[MarketFeed]) -> None:
        self.sockets: set[Socket] = set()
        self._bus = bus
        self._markets = markets
        self._pins = 0
        self._subscribing = asyncio.Lock()
        self._subscription: Subscription | None = None
        self._pinned: dict[str, MarketFeed] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}

    async def listen(self) -> None:
        """Before a socket follows; then `follow` or `let_go`."""
        self._pins += 1
        try:
            async with self._subscribing:
                if self._subscription is None:
                    self._subscription = await self._bus.subscribe(SUBJECT, cb=self._on_book)
                    await until_taken(self._bus)
        except BaseException:
            self._pins -= 1
            raise

    def follow(self, socket: Socket) -> None:
        self.sockets.add(socket)

    def let_go(self) -> None:
        self._pins -= 1

    def leave(self, socket: Socket) -> None:
        self.sockets.discard(socket)
        self.let_go()

    async def settle(self) -> None:
        """Without followers nothing is listened to and no feed is held."""
        if not self._pins and self._subscription is not None:
            await self.stop()

    async def stop(self) -> None:
        """Lets everything go."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await stop_listening([subscription])
        starting = tuple(self._starting.values())
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        for feed in self._pinned.values():
            feed.pins -= 1
        self._pinned.clear()

    async def _on_book(self, message: Msg) -> None:
        """The first change of a market opens its feed, whose ticker then goes out."""
        market_id = message.subject.split(".")[1]
        if market_id in self._pinned or market_id in self._starting or DRAFT in message.data:
            return
        if len(self._starting) < STARTING_MAX:
            task = asyncio.create_task(self._pin(market_id), name=f"ticker {market_id}")
            self._starting[market_id] = task
            task.add_done_callback(lambda _: self._starting.pop(market_id, None))

    async def _pin(self, market_id: str) -> None:
        try:
            self._pinned[market_id] = await self._markets.pinned(market_id)
        except Exception as error:  # nobody awaits this: the market's next change tries again
            log.info("no ticker yet", market_id=market_id, code=str(as_api_error(error).code))
