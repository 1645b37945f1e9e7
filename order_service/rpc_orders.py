"""OrderService: placing, amending, cancelling, sets, live reads."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from db_service.store.shown import market_message, order_message
from engine import commands as c
from engine.answers import order_answer
from engine.state import MarketState, Order, ShardState
from order_service import parse, render
from order_service.access import is_admin, reader, sees_hidden, trader
from order_service.limits import CallerLimits, bucket_of_order
from order_service.requests import Before, Done
from order_service.routing import Router, Submitted
from order_service.watching import watch_book
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from runtime.rate_policy import Bucket
from runtime.tokens import Identity, TokenVerifier


class Orders:
    """Commands on orders, for one caller at a time; used by single calls, batches and streams alike."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def place(self, request: order_pb2.PlaceOrderRequest, user_id: str, key: str) -> Submitted:
        command = parse.place(request, user_id, self._router.new_id())
        shard = await self._router.shard_of(command.market_id)
        look = _market_copy(command.market_id) if request.dry_run else None
        return self._router.submit(shard, command, key=key, dry_run=request.dry_run, look=look)

    async def amend(self, request: order_pb2.AmendOrderRequest, user_id: str, key: str) -> Submitted:
        market_id = await self._market_id(request, user_id)
        command = parse.amend(request, user_id, market_id)
        shard = await self._router.shard_of(market_id)
        return self._router.submit(shard, command, key=key, look=_order_copy(market_id, command.order_id))

    async def cancel(self, request: order_pb2.CancelOrderRequest, user_id: str, key: str) -> Submitted:
        market_id = await self._market_id(request, user_id)
        command = c.CancelOrder(market_id=market_id, actor_id=user_id, order_id=request.order_id)
        shard = await self._router.shard_of(market_id)
        return self._router.submit(shard, command, key=key, look=_order_copy(market_id, command.order_id))

    async def _market_id(
        self, request: order_pb2.AmendOrderRequest | order_pb2.CancelOrderRequest, user_id: str
    ) -> str:
        order_id = parse.an_id("order_id", request.order_id)
        if request.market_id:
            parse.an_id("market_id", request.market_id)
        return await self._router.market_of_order(order_id, request.market_id, user_id)

    async def order_answer(self, submitted: Submitted) -> tuple[common_pb2.Order, Done]:
        """The order a command placed or changed."""
        done = await self._router.done(submitted)
        command = done.event.command
        assert isinstance(command, c.PlaceOrder | c.AmendOrder | c.CancelOrder)
        if isinstance(command, c.PlaceOrder):
            order, _ = order_answer(done.event, command.order_id)
            return order_message(order, render.fill_messages(done.event, order.order_id)), done
        seen = done.context.before if isinstance(done.context, Before) else None
        identity = seen if isinstance(seen, Order) else await self._router.order_identity(command.order_id)
        return render.order_after(done.event, identity), done


def quote_of(done: Done, order: common_pb2.Order) -> order_pb2.Quote | None:
    """The figures of a dry run."""
    if not done.dry_run:
        return None
    assert isinstance(done.context, Before)
    return render.quote_message(done.event, order, done.context.before)


def _market_copy(market_id: str) -> Any:
    def look(state: ShardState) -> Any:
        market = state.markets.get(market_id)
        return copy.copy(market.market) if market else None

    return look


def _order_copy(market_id: str, order_id: str) -> Any:
    def look(state: ShardState) -> Any:
        market = state.markets.get(market_id)
        order = market.orders.get(order_id) if market else None
        return copy.copy(order) if order else None

    return look


class OrderServicer:
    """The unary calls; batches and streams are in `rpc_batches`."""

    def __init__(self, router: Router, verifier: TokenVerifier, limits: CallerLimits) -> None:
        self._router = router
        self._verifier = verifier
        self._limits = limits
        self._orders = Orders(router)

    async def PlaceOrder(
        self, request: order_pb2.PlaceOrderRequest, context: Any
    ) -> order_pb2.PlaceOrderResponse:
        caller = await self._trader(context, bucket_of_order(request))
        submitted = await self._orders.place(request, caller.user_id, parse.a_key(request.idempotency_key))
        order, done = await self._orders.order_answer(submitted)
        return order_pb2.PlaceOrderResponse(order=order, quote=quote_of(done, order), replayed=done.replayed)

    async def AmendOrder(
        self, request: order_pb2.AmendOrderRequest, context: Any
    ) -> order_pb2.AmendOrderResponse:
        caller = await self._trader(context, Bucket.TRADES)
        submitted = await self._orders.amend(request, caller.user_id, parse.a_key(request.idempotency_key))
        order, done = await self._orders.order_answer(submitted)
        return order_pb2.AmendOrderResponse(order=order, replayed=done.replayed)

    async def CancelOrder(
        self, request: order_pb2.CancelOrderRequest, context: Any
    ) -> order_pb2.CancelOrderResponse:
        caller = await self._trader(context, Bucket.CANCELS)
        submitted = await self._orders.cancel(request, caller.user_id, parse.a_key(request.idempotency_key))
        order, done = await self._orders.order_answer(submitted)
        return order_pb2.CancelOrderResponse(order=order, replayed=done.replayed)

    async def CancelAllOrders(
        self, request: order_pb2.CancelAllOrdersRequest, context: Any
    ) -> order_pb2.CancelAllOrdersResponse:
        caller = await self._trader(context, Bucket.CANCELS)
        market_id = parse.an_id("market_id", request.market_id)
        command = c.CancelAllOrders(market_id=market_id, actor_id=caller.user_id, user_id=caller.user_id)

        def look(state: ShardState) -> dict[str, Order]:
            market = state.markets.get(market_id)
            mine = market.open_by_user.get(caller.user_id, {}) if market else {}
            return {order_id: copy.copy(order) for order_id, order in mine.items()}

        key = parse.a_key(request.idempotency_key)
        done = await self._router.done(
            self._router.submit(await self._router.shard_of(market_id), command, key=key, look=look)
        )
        orders = []
        for after in done.event.effects.orders:
            identity = done.context.before.get(after.order_id) if isinstance(done.context, Before) else None
            identity = identity or await self._router.order_identity(after.order_id)
            orders.append(render.order_after(done.event, identity))
        return order_pb2.CancelAllOrdersResponse(orders=orders, replayed=done.replayed)

    async def MintSets(self, request: order_pb2.MintSetsRequest, context: Any) -> order_pb2.MintSetsResponse:
        caller = await self._trader(context, Bucket.TRADES)
        command = c.MintSets(
            market_id=parse.an_id("market_id", request.market_id),
            actor_id=caller.user_id,
            quantity_micros=parse.an_amount("quantity_micros", request.quantity_micros),
        )
        done = await self._do(command, request.idempotency_key)
        quantity = command.quantity_micros
        return order_pb2.MintSetsResponse(
            seq=done.event.seq, quantity_micros=quantity, replayed=done.replayed
        )

    async def MergeSets(
        self, request: order_pb2.MergeSetsRequest, context: Any
    ) -> order_pb2.MergeSetsResponse:
        caller = await self._trader(context, Bucket.TRADES)
        command = c.MergeSets(
            market_id=parse.an_id("market_id", request.market_id),
            actor_id=caller.user_id,
            quantity_micros=parse.an_amount("quantity_micros", request.quantity_micros),
        )
        done = await self._do(command, request.idempotency_key)
        quantity = command.quantity_micros
        return order_pb2.MergeSetsResponse(
            seq=done.event.seq, quantity_micros=quantity, replayed=done.replayed
        )

    async def _do(self, command: c.AnyCommand, idempotency_key: str) -> Done:
        key = parse.a_key(idempotency_key)
        shard = await self._router.shard_of(command.market_id)
        return await self._router.done(self._router.submit(shard, command, key=key))

    async def GetOrder(self, request: order_pb2.GetOrderRequest, context: Any) -> order_pb2.GetOrderResponse:
        caller = await reader(self._verifier, context)
        order_id = parse.an_id("order_id", request.order_id)
        if request.market_id:
            parse.an_id("market_id", request.market_id)
        market_id = await self._router.market_of_order(order_id, request.market_id, caller.user_id)

        def look(market: MarketState) -> common_pb2.Order | ApiError:
            order = market.orders.get(order_id)
            if order is None or order.user_id != caller.user_id:
                return ApiError(ErrorCode.ORDER_NOT_FOUND)
            return order_message(order)

        order = await self._router.read(market_id, look, hidden_too=sees_hidden(caller))
        return order_pb2.GetOrderResponse(order=order)

    async def ListOpenOrders(
        self, request: order_pb2.ListOpenOrdersRequest, context: Any
    ) -> order_pb2.ListOpenOrdersResponse:
        caller = await reader(self._verifier, context)

        def look(market: MarketState) -> list[common_pb2.Order]:
            orders = market.open_by_user.get(caller.user_id, {}).values()
            return [order_message(order) for order in sorted(orders, key=_newest_first)]

        market_id = parse.an_id("market_id", request.market_id)
        orders = await self._router.read(market_id, look, hidden_too=sees_hidden(caller))
        return order_pb2.ListOpenOrdersResponse(orders=orders)

    async def GetBook(self, request: order_pb2.GetBookRequest, context: Any) -> order_pb2.GetBookResponse:
        admin = await is_admin(self._verifier, context)
        look = await self._book_look(request, admin)
        book: order_pb2.GetBookResponse = await self._router.read(request.market_id, look, hidden_too=admin)
        return book

    async def WatchBook(
        self, request: order_pb2.WatchBookRequest, context: Any
    ) -> AsyncIterator[order_pb2.WatchBookResponse]:
        admin = await is_admin(self._verifier, context)
        look = await self._book_look(request, admin)
        read = partial(self._router.read, request.market_id, look, hidden_too=admin)
        async for message in watch_book(self._router.watchers, request.market_id, read):
            yield message

    async def _book_look(
        self, request: order_pb2.GetBookRequest | order_pb2.WatchBookRequest, admin: bool
    ) -> Callable[[MarketState], order_pb2.GetBookResponse]:
        """What renders the book that was asked for."""
        market_id = parse.an_id("market_id", request.market_id)
        shard = await self._router.shard_of(market_id, hidden_too=admin)
        if not 0 <= request.depth <= 1_000:
            raise parse.bad_field("depth", "must be between 0 and 1,000")

        def look(market: MarketState) -> order_pb2.GetBookResponse:
            return render.book_message(
                market,
                depth=request.depth,
                epoch=shard.writer.hold.epoch,
                last_trade_seq=shard.last_trade_seq.get(market_id, 0),
            )

        return look

    async def GetMarket(
        self, request: order_pb2.GetMarketRequest, context: Any
    ) -> order_pb2.GetMarketResponse:
        admin = await is_admin(self._verifier, context)
        market_id = parse.an_id("market_id", request.market_id)
        shard = await self._router.shard_of(market_id, hidden_too=admin)

        def look(state: MarketState) -> common_pb2.Market:
            market = state.market
            return market_message(market, seq=market.seq, shard=shard.shard_id, epoch=shard.writer.hold.epoch)

        market = await self._router.read(market_id, look, hidden_too=admin)
        return order_pb2.GetMarketResponse(market=market)

    async def _trader(self, context: Any, bucket: Bucket) -> Identity:
        """Who may trade, within the limits of the bucket."""
        caller = await trader(self._verifier, context)
        await self._limits.require(context, caller, bucket)
        return caller


def _newest_first(order: Order) -> int:
    return -order.priority_seq
