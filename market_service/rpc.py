"""MarketService on gRPC: who asks, whether the question is well formed, and what answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any, Final

from db_service.paging import bad_field, checked_page_size
from db_service.store.shown import refused
from engine.commands import PlaceOrder
from engine.refusals import Refusal
from market_service import holders, orders, paging, render
from market_service.cache import HISTORY_SECONDS, SPOT_SECONDS, Cache
from market_service.day import Days
from market_service.feeds import Feeds
from market_service.live import LiveMarket
from market_service.markets import Markets
from market_service.metrics import QUOTE_SECONDS
from market_service.quoting import ANYBODY, Caller, Desk, Execution
from market_service.replicas import Replica, Replicas
from market_service.search import Search
from market_service.store import Store
from predmarket.market.v1 import market_pb2, market_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.tokens import Identity, TokenVerifier

SERVICE_NAME: Final = market_pb2.DESCRIPTOR.services_by_name["MarketService"].full_name
DEPTH_MAX: Final = 1_000
MARKETS_MAX: Final = 200
CURVES_MAX: Final = 100
Context = Any  # grpc.aio.ServicerContext of whatever messages


class MarketServicer(market_pb2_grpc.MarketServiceServicer):
    """The RPCs of market.proto, whose comments are their documentation."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache,
        markets: Markets,
        replicas: Replicas,
        days: Days,
        feeds: Feeds,
        verifier: TokenVerifier,
    ) -> None:
        self._store = store
        self._cache = cache
        self._markets = markets
        self._replicas = replicas
        self._days = days
        self._feeds = feeds
        self._verifier = verifier
        self._search = Search(store, cache, days, markets)

    async def GetMarket(
        self, request: market_pb2.GetMarketRequest, context: Context
    ) -> market_pb2.GetMarketResponse:
        is_admin = await self._is_admin(context)
        market_id = orders.an_id("market_id", request.market_id)
        if is_admin:
            found = await self._search.one(market_id)
        else:
            live = await self._markets.fresh(market_id)
            await self._days.know([market_id])
            day = self._days.of(live.market)
            found = render.details(live.market, live.shard_id, day, house_too=False)
        return market_pb2.GetMarketResponse(market=found)

    async def ListMarkets(
        self, request: market_pb2.ListMarketsRequest, context: Context
    ) -> market_pb2.ListMarketsResponse:
        return await self._search.page(request, hidden_too=await self._is_admin(context))

    async def GetQuote(
        self, request: market_pb2.GetQuoteRequest, context: Context
    ) -> market_pb2.GetQuoteResponse:
        identity = await self._identity(context)
        order = orders.wanted(request, identity.user_id if identity else ANYBODY)
        (replica, now), available = await asyncio.gather(
            self._replicas.fresh(order.market_id), self._available(identity)
        )
        started = perf_counter()
        desk, caller = Desk(replica.state, order.market_id, now), Caller(order.actor_id, available)
        made = desk.quote(order, caller, request.balance_micros or available)
        if isinstance(made, Refusal):
            raise refused(made)
        curve = _curve(desk, replica, order, caller) if request.with_impact else []
        QUOTE_SECONDS.observe(perf_counter() - started)
        return render.quote(made, available, curve)

    async def GetBook(
        self, request: market_pb2.GetBookRequest, context: Context
    ) -> market_pb2.GetBookResponse:
        hidden_too = await self._is_admin(context)
        depth = _depth(request.depth)
        live = await self._markets.fresh(orders.an_id("market_id", request.market_id), hidden_too=hidden_too)
        return render.book(live, live.depth(depth, merged=request.merged))

    async def GetTicker(
        self, request: market_pb2.GetTickerRequest, context: Context
    ) -> market_pb2.GetTickerResponse:
        hidden_too = await self._is_admin(context)
        market_id = orders.an_id("market_id", request.market_id)
        return market_pb2.GetTickerResponse(ticker=await self._ticker(market_id, hidden_too))

    async def ListTickers(
        self, request: market_pb2.ListTickersRequest, context: Context
    ) -> market_pb2.ListTickersResponse:
        await self._identity(context)
        if request.market_ids:
            return await self._named_tickers(request)
        size = checked_page_size(request.page_size)
        after = paging.market_id_after(request.page_token)
        left = [live for live in self._markets.all() if live.market_id > after]
        shown = left[:size]
        await self._days.know(live.market_id for live in shown)
        return market_pb2.ListTickersResponse(
            tickers=[self._ticker_of(live) for live in shown],
            next_page_token=paging.token_of(shown[-1].market_id) if len(left) > size else "",
        )

    async def ListHolders(
        self, request: market_pb2.ListHoldersRequest, context: Context
    ) -> market_pb2.ListHoldersResponse:
        hidden_too = await self._is_admin(context)
        market_id = orders.an_id("market_id", request.market_id)
        head = await self._markets.head(market_id, hidden_too=hidden_too)

        async def read() -> bytes:
            return (await holders.holders(self._store, request)).SerializeToString()

        name = request.SerializeToString(deterministic=True).hex()
        kept = await self._cache.get("holders", name, token=str(head.seq), seconds=HISTORY_SECONDS, read=read)
        return market_pb2.ListHoldersResponse.FromString(kept)

    async def GetSolvency(
        self, request: market_pb2.GetSolvencyRequest, context: Context
    ) -> market_pb2.GetSolvencyResponse:
        hidden_too = await self._is_admin(context)
        market_id = orders.an_id("market_id", request.market_id)
        found = await holders.solvency(self._store, market_id, hidden_too=hidden_too)
        if found is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        return found

    async def StreamPrices(
        self, request: market_pb2.StreamPricesRequest, context: Context
    ) -> AsyncIterator[market_pb2.StreamPricesResponse]:
        await self._identity(context)
        market_ids = _market_ids(request.market_ids)
        if not market_ids:
            raise bad_field("market_ids", "must name a market")
        async for message in self._feeds.prices(market_ids):
            yield message

    async def StreamBook(
        self, request: market_pb2.StreamBookRequest, context: Context
    ) -> AsyncIterator[market_pb2.StreamBookResponse]:
        await self._identity(context)
        market_id, depth = orders.an_id("market_id", request.market_id), _depth(request.depth)
        async for message in self._feeds.book(market_id, depth, merged=request.merged):
            yield message

    async def _identity(self, context: Context) -> Identity | None:
        """Nobody needs a token here, but one that is there must be good."""
        if not any(key == "authorization" for key, _ in context.invocation_metadata()):
            return None
        return await self._verifier.caller(context)

    async def _is_admin(self, context: Context) -> bool:
        identity = await self._identity(context)
        return identity is not None and identity.role == "admin" and not identity.is_api_key

    async def _available(self, identity: Identity | None) -> int:
        return 0 if identity is None else await self._store.available(identity.user_id)

    async def _ticker(self, market_id: str, hidden_too: bool) -> market_pb2.Ticker:
        """Of a replica, or as it was last read: what is decided seldom changes."""
        head = await self._markets.head(market_id, hidden_too=hidden_too)
        if head.is_live:
            live = await self._markets.fresh(market_id, hidden_too=hidden_too)
            await self._days.know([market_id])
            return self._ticker_of(live)

        async def read() -> bytes:
            live = await self._markets.fresh(market_id, hidden_too=True)
            await self._days.know([market_id])
            return self._ticker_of(live).SerializeToString()

        kept = await self._cache.get("spot", market_id, token=str(head.seq), seconds=SPOT_SECONDS, read=read)
        return market_pb2.Ticker.FromString(kept)

    async def _named_tickers(self, request: market_pb2.ListTickersRequest) -> market_pb2.ListTickersResponse:
        if request.page_token or request.page_size:
            raise bad_field("market_ids", "leaves nothing to page")
        market_ids = _market_ids(request.market_ids)
        await self._days.know(market_ids)
        found = await asyncio.gather(*(self._ticker_or_none(market_id) for market_id in market_ids))
        return market_pb2.ListTickersResponse(tickers=[ticker for ticker in found if ticker is not None])

    async def _ticker_or_none(self, market_id: str) -> market_pb2.Ticker | None:
        try:
            return await self._ticker(market_id, hidden_too=False)
        except ApiError as error:
            if error.code is not ErrorCode.MARKET_NOT_FOUND:
                raise
            return None

    def _ticker_of(self, live: LiveMarket) -> market_pb2.Ticker:
        return render.ticker(live, self._days.of(live.market))


def _curve(desk: Desk, replica: Replica, order: PlaceOrder, caller: Caller) -> list[tuple[int, Execution]]:
    """Kept until the market's next event: who tries amounts asks for the same curve again."""
    key = (order.side, order.outcome, order.actor_id, order.self_trade)
    curve: list[tuple[int, Execution]] | None = replica.curves.get(key)
    if curve is None:
        if len(replica.curves) >= CURVES_MAX:
            replica.curves.clear()
        curve = replica.curves[key] = desk.curve(order, caller)
    return curve


def _depth(depth: int) -> int:
    if not 0 <= depth <= DEPTH_MAX:
        raise bad_field("depth", f"must be between 0 and {DEPTH_MAX}")
    return depth


def _market_ids(values: Any) -> list[str]:
    """Each once, in the order given."""
    if len(values) > MARKETS_MAX:
        raise bad_field("market_ids", f"must be at most {MARKETS_MAX}")
    return list(dict.fromkeys(orders.an_id("market_ids", value) for value in values))
