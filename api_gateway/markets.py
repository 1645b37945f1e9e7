"""/v1/markets: what everybody may read. Details and trades come from db_service, the live book from order_service."""

from typing import Any

from api_gateway import models, shapes
from api_gateway.routing import Answer, Call
from predmarket.db.v1 import db_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ErrorCode
from runtime.grpc_client import call as ask

SORTS = {
    "newest": db_pb2.MARKET_SORT_NEWEST,
    "volume": db_pb2.MARKET_SORT_VOLUME,
    "closing": db_pb2.MARKET_SORT_CLOSING,
}

SOLVENCY_FIELDS = tuple(field.name for field in db_pb2.GetSolvencyResponse.DESCRIPTOR.fields)


async def listed(call: Call) -> Answer:
    """Newest first, or as `sort` says."""
    page = call.parsed_query(models.MarketsPage)
    request = db_pb2.ListMarketsRequest(
        status=page.status or "",
        category=page.category or "",
        q=page.q or "",
        sort=SORTS[page.sort],
        page_size=page.limit,
        page_token=page.cursor or "",
    )
    answer = await ask(call.clients.database.ListMarkets, request, authorization=call.authorization)
    items = [_details(item, call.is_admin) for item in answer.markets]
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


async def one(call: Call) -> Answer:
    """A market; a DRAFT only to administrators."""
    request = db_pb2.GetMarketRequest(market_id=call.id(ErrorCode.MARKET_NOT_FOUND))
    answer = await ask(call.clients.database.GetMarket, request, authorization=call.authorization)
    return Answer(_details(answer.market, call.is_admin))


async def book(call: Call) -> Answer:
    """The live book in YES prices."""
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    depth = call.parsed_query(models.BookQuery).depth or 0
    request = order_pb2.GetBookRequest(market_id=market_id, depth=depth)
    answer = await call.clients.orders.call(
        order_pb2_grpc.OrderServiceStub,
        "GetBook",
        request,
        market_id=market_id,
        authorization=call.authorization,
    )
    return Answer(shapes.book(answer))


async def trades(call: Call) -> Answer:
    """Newest first."""
    market_id = call.id(ErrorCode.MARKET_NOT_FOUND)
    page = call.parsed_query(models.Page)
    request = db_pb2.ListTradesRequest(
        market_id=market_id, page_size=page.limit, page_token=page.cursor or ""
    )
    answer = await ask(call.clients.database.ListTrades, request, authorization=call.authorization)
    items = [_trade(item) for item in answer.trades]
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


async def solvency(call: Call) -> Answer:
    """Who holds the shares, and what backs them."""
    request = db_pb2.GetSolvencyRequest(market_id=call.id(ErrorCode.MARKET_NOT_FOUND))
    answer = await ask(call.clients.database.GetSolvency, request, authorization=call.authorization)
    return Answer({name: getattr(answer, name) for name in SOLVENCY_FIELDS})


def _details(message: db_pb2.MarketDetails, is_admin: bool) -> dict[str, Any]:
    shown = shapes.admin_market(message.market) if is_admin else shapes.market(message.market)
    return {**shown, "volume_24h_micros": message.volume_24h_micros}


def _trade(message: db_pb2.Trade) -> dict[str, Any]:
    return {
        "trade_id": message.trade_id,
        "market_id": message.market_id,
        "seq": message.seq,
        "venue": message.venue,
        "kind": message.kind,
        "outcome": shapes.OUTCOMES.get(message.outcome),
        "taker_side": shapes.SIDES.get(message.taker_side),
        "price_micros": message.price_micros,
        "quantity_micros": message.quantity_micros,
        "time": shapes.time_of(message.time),
    }
