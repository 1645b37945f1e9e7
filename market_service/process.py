"""Wires market_service, top to bottom."""

import asyncio

import asyncpg
import stamina

from market_service.cache import Cache
from market_service.day import Days
from market_service.feeds import Feeds
from market_service.following import follow, sweep
from market_service.markets import Markets
from market_service.replicas import Replicas
from market_service.rpc import SERVICE_NAME, MarketServicer
from market_service.search import LISTS
from market_service.settings import MarketSettings
from market_service.store import Store
from predmarket.market.v1 import market_pb2_grpc
from runtime import postgres
from runtime.bus import open_bus
from runtime.lifecycle import Process
from runtime.logs import get_logger
from runtime.surprises import AWAY
from runtime.tasks import ended

log = get_logger(__name__)

DAY_SECONDS = 60.0
NOT_MIGRATED = (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError)


async def serve(process: Process, settings: MarketSettings) -> None:
    """Starts everything; returns when every live market is replicated and calls are taken."""
    pool = await process.enter(
        postgres.open_pool(settings.database_url.get_secret_value(), name=process.instance)
    )
    process.ready_when("postgres", lambda: postgres.answers(pool))
    bus = await process.enter(open_bus(settings.nats_url.get_secret_value(), name=process.instance))
    cache = Cache(settings.redis_url.get_secret_value())
    process.on_stop(cache.close)
    store = Store(pool)
    markets = Markets(store)
    process.on_stop(markets.stop)
    days = Days(store, cache, process.clock)
    feeds = Feeds(markets, days, settings.streams_max)
    notes = Notes(cache)
    process.on_stop(notes.stop)
    # Heard before it is read, so that nothing falls between.
    await follow(bus, markets, notes.listing_changed)
    await _load(markets)
    process.spawn(sweep(markets, settings.sweep_seconds), name="sweep")
    process.spawn(_keep_days(markets, days), name="yesterday")
    servicer = MarketServicer(
        store=store,
        cache=cache,
        markets=markets,
        replicas=Replicas(store, settings.quote_rows_max),
        days=days,
        feeds=feeds,
        verifier=process.token_verifier(),
    )
    await process.serve_grpc(
        [SERVICE_NAME], lambda server: market_pb2_grpc.add_MarketServiceServicer_to_server(servicer, server)
    )
    process.on_stop(feeds.stop)


class Notes:
    """Tells all processes that lists have changed; the last change is enough."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._latest = ""
        self._task: asyncio.Task[None] | None = None

    def listing_changed(self, token: str) -> None:
        self._latest = token
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tell(), name="listing changed")

    async def stop(self) -> None:
        if self._task is not None:
            await ended(self._task)

    async def _tell(self) -> None:
        told = ""
        while told != self._latest:
            told = self._latest
            await self._cache.note(LISTS, told)


async def _load(markets: Markets) -> None:
    """Services start in any order, and the migrations may still run."""
    async for attempt in stamina.retry_context(
        on=NOT_MIGRATED, attempts=None, timeout=None, wait_initial=0.1, wait_max=1.0
    ):
        with attempt:
            await markets.load_all()


async def _keep_days(markets: Markets, days: Days) -> None:
    """What tickers and movers compare with, for all live markets."""
    while True:
        try:
            await days.know([live.market_id for live in markets.all()])
        except AWAY as error:
            log.warning("yesterday's prices could not be read", error=type(error).__name__)
        await asyncio.sleep(DAY_SECONDS)
