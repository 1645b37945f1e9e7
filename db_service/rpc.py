"""DbService on gRPC: who asks, whether the question is well formed, and the read that answers it."""

from __future__ import annotations

from typing import Any, Final

from db_service import history, house
from db_service.paging import bad_field
from engine.state import MarketStatus, OrderStatus
from predmarket.db.v1 import db_pb2, db_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.ids import is_canonical_uuid
from runtime.postgres import Pool
from runtime.tokens import READ, TokenVerifier

SERVICE_NAME: Final = db_pb2.DESCRIPTOR.services_by_name["DbService"].full_name
TEXT_MAX: Final = 100
Context = Any  # grpc.aio.ServicerContext of whatever messages


class DbServicer(db_pb2_grpc.DbServiceServicer):
    """The RPCs of db.proto, whose comments are their documentation. `replica` may be moments behind `primary`."""

    def __init__(self, *, primary: Pool, replica: Pool, verifier: TokenVerifier) -> None:
        self._primary = primary
        self._replica = replica
        self._verifier = verifier

    async def GetPortfolio(
        self, request: db_pb2.GetPortfolioRequest, context: Context
    ) -> db_pb2.GetPortfolioResponse:
        return await history.portfolio(self._primary, await self._user(context))

    async def ListPositions(
        self, request: db_pb2.ListPositionsRequest, context: Context
    ) -> db_pb2.ListPositionsResponse:
        user_id = await self._user(context)
        _ids(market_id=request.market_id)
        return await history.positions(self._primary, user_id, request)

    async def ListOrders(
        self, request: db_pb2.ListOrdersRequest, context: Context
    ) -> db_pb2.ListOrdersResponse:
        user_id = await self._user(context)
        _ids(market_id=request.market_id)
        if request.status and request.status not in OrderStatus.__members__:
            raise bad_field("status", f"must be one of {', '.join(OrderStatus)}")
        return await history.orders(self._primary, user_id, request)

    async def GetOrder(self, request: db_pb2.GetOrderRequest, context: Context) -> db_pb2.GetOrderResponse:
        user_id = await self._user(context)
        _id("order_id", request.order_id)
        order = await history.order(self._primary, user_id, request.order_id)
        if order is None:
            raise ApiError(ErrorCode.ORDER_NOT_FOUND)
        return db_pb2.GetOrderResponse(order=order)

    async def ListFills(self, request: db_pb2.ListFillsRequest, context: Context) -> db_pb2.ListFillsResponse:
        user_id = await self._user(context)
        _ids(market_id=request.market_id, order_id=request.order_id)
        return await history.fills(self._replica, user_id, request)

    async def ListLedger(
        self, request: db_pb2.ListLedgerRequest, context: Context
    ) -> db_pb2.ListLedgerResponse:
        user_id = await self._user(context)
        _ids(market_id=request.market_id)
        _texts(kind=request.kind)
        return await history.ledger(self._replica, user_id, request)

    async def ListMarkets(
        self, request: db_pb2.ListMarketsRequest, context: Context
    ) -> db_pb2.ListMarketsResponse:
        hidden_too = await self._is_admin(context)
        if request.status and request.status not in MarketStatus.__members__:
            raise bad_field("status", f"must be one of {', '.join(MarketStatus)}")
        if request.sort not in db_pb2.MarketSort.values():
            raise bad_field("sort", "is not one of MarketSort")
        _texts(category=request.category, q=request.q)
        return await history.markets(self._replica, request, hidden_too=hidden_too)

    async def GetMarket(self, request: db_pb2.GetMarketRequest, context: Context) -> db_pb2.GetMarketResponse:
        market = await self._market(request.market_id, context)
        return db_pb2.GetMarketResponse(market=market)

    async def ListTrades(
        self, request: db_pb2.ListTradesRequest, context: Context
    ) -> db_pb2.ListTradesResponse:
        await self._market(request.market_id, context)
        return await history.trades(self._replica, request)

    async def ListSettlements(
        self, request: db_pb2.ListSettlementsRequest, context: Context
    ) -> db_pb2.ListSettlementsResponse:
        user_id = await self._user(context)
        _ids(market_id=request.market_id)
        return await house.settlements(self._replica, user_id, request)

    async def GetSolvency(
        self, request: db_pb2.GetSolvencyRequest, context: Context
    ) -> db_pb2.GetSolvencyResponse:
        hidden_too = await self._is_admin(context)
        _id("market_id", request.market_id)
        found = await house.solvency(self._replica, request.market_id, hidden_too=hidden_too)
        if found is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        return found

    async def GetTreasury(
        self, request: db_pb2.GetTreasuryRequest, context: Context
    ) -> db_pb2.GetTreasuryResponse:
        await self._admin(context)
        return await house.treasury(self._primary)

    async def ListRevenue(
        self, request: db_pb2.ListRevenueRequest, context: Context
    ) -> db_pb2.ListRevenueResponse:
        await self._admin(context)
        return await house.revenue(self._replica, request)

    async def ListAudit(self, request: db_pb2.ListAuditRequest, context: Context) -> db_pb2.ListAuditResponse:
        await self._admin(context)
        _ids(actor_id=request.actor_id)
        _texts(target=request.target, action=request.action)
        return await history.audit(self._replica, request)

    async def _user(self, context: Context) -> str:
        caller = await self._verifier.caller(context)
        caller.require_scope(READ)
        return caller.user_id

    async def _admin(self, context: Context) -> None:
        caller = await self._verifier.caller(context)
        caller.require("admin")
        caller.require_person()

    async def _is_admin(self, context: Context) -> bool:
        """Nobody needs a token here, but one that is there must be good."""
        if not any(key == "authorization" for key, _ in context.invocation_metadata()):
            return False
        caller = await self._verifier.caller(context)
        return caller.role == "admin" and not caller.is_api_key

    async def _market(self, market_id: str, context: Context) -> db_pb2.MarketDetails:
        hidden_too = await self._is_admin(context)
        _id("market_id", market_id)
        market = await history.market(self._replica, market_id, hidden_too=hidden_too)
        if market is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        return market


def _id(name: str, value: str) -> None:
    if not is_canonical_uuid(value):
        raise bad_field(name, "must be a lower-case UUID")


def _ids(**values: str) -> None:
    """Those that are given."""
    for name, value in values.items():
        if value:
            _id(name, value)


def _texts(**values: str) -> None:
    for name, value in values.items():
        if len(value) > TEXT_MAX or "\0" in value:
            raise bad_field(name, f"must be at most {TEXT_MAX} characters, without NUL")
