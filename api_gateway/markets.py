"""/v1/markets, /v1/tickers: what everybody may read. Live data comes from market_service, trades from db_service."""

from typing import Any

from api_gateway import analytics, models, shapes
from api_gateway.routing import Answer, Call
from predmarket.db.v1 import db_pb2
from predmarket.market.v1 import market_pb2
from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.grpc_client import call as ask

SORTS = {
    "newest": market_pb2.MARKET_SORT_NEWEST,
    "volume": market_pb2.MARKET_SORT_VOLUME,
    "closing": market_pb2.MARKET_SORT_CLOSING,
    "movers": market_pb2.MARKET_SORT_MOVERS,
}

SOLVENCY_FIELDS = tuple(field.name for field in market_pb2.GetSolvencyResponse.DESCRIPTOR.fields)
HOLDER_FIELDS = tuple(field.name for field in market_pb2.Holder.DESCRIPTOR.fields)


async def listed(call: Call) -> Answer:
    """Newest first, or as `sort` says."""
    page = call.parsed_query(models.MarketsPage)
    request = market_pb2.ListMarketsRequest(
        status=page.status or "",
        category=page.category or "",
        q=page.q or "",
        sort=SORTS[page.sort],
        page_size=page.limit,
        page_token=page.cursor or "",
    )
    answer = await _ask(call, "ListMarkets", request)
    items = [_details(item, call.is_admin) for item in answer.markets]
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


async def one(call: Call) -> Answer:
    """A market; a DRAFT only to administrators."""
    answer = await _ask(call, "GetMarket", market_pb2.GetMarketRequest(market_id=_market_id(call)))
    return Answer(_details(answer.market, call.is_admin))


async def book(call: Call) -> Answer:
    """The live book in YES prices, or with `at` the one of a past moment."""
    query = call.parsed_query(models.BookQuery)
    merged = query.merged == "true"
    if query.at is not None:
        if merged:
            detail = "is of the live book only"
            raise ApiError(ErrorCode.INVALID_ARGUMENT, fields=[FieldError("/merged", detail)])
        return await analytics.book_at(call, query.at, query.depth or 0)
    request = market_pb2.GetBookRequest(market_id=_market_id(call), depth=query.depth or 0, merged=merged)
    return Answer(shapes.book(await _ask(call, "GetBook", request), merged=merged))


async def ticker(call: Call) -> Answer:
    """A market in figures."""
    answer = await _ask(call, "GetTicker", market_pb2.GetTickerRequest(market_id=_market_id(call)))
    return Answer(shapes.ticker(answer.ticker))


async def tickers(call: Call) -> Answer:
    """Of some markets, or page by page of all live ones."""
    query = call.parsed_query(models.TickersQuery)
    if query.market_ids is not None and (query.limit is not None or query.cursor is not None):
        detail = "leaves nothing to page: give no limit and no cursor"
        raise ApiError(ErrorCode.INVALID_ARGUMENT, fields=[FieldError("/market_ids", detail)])
    request = market_pb2.ListTickersRequest(
        market_ids=query.market_ids.split(",") if query.market_ids else [],
        page_size=query.limit or 0,
        page_token=query.cursor or "",
    )
    answer = await _ask(call, "ListTickers", request)
    items = [shapes.ticker(item) for item in answer.tickers]
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


async def holders(call: Call) -> Answer:
    """The largest first."""
    market_id, page = _market_id(call), call.parsed_query(models.Page)
    request = market_pb2.ListHoldersRequest(
        market_id=market_id, page_size=page.limit, page_token=page.cursor or ""
    )
    answer = await _ask(call, "ListHolders", request)
    items = [{name: getattr(item, name) for name in HOLDER_FIELDS} for item in answer.holders]
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


async def trades(call: Call) -> Answer:
    """Newest first."""
    market_id, page = _market_id(call), call.parsed_query(models.Page)
    request = db_pb2.ListTradesRequest(
        market_id=market_id, page_size=page.limit, page_token=page.cursor or ""
    )
    answer = await ask(call.clients.database.ListTrades, request, authorization=call.authorization)
    items = [_trade(item) for item in answer.trades]
    return Answer({"items": items, "next_cursor": answer.next_page_token or None})


async def solvency(call: Call) -> Answer:
    """Who holds the shares, and what backs them."""
    answer = await _ask(call, "GetSolvency", market_pb2.GetSolvencyRequest(market_id=_market_id(call)))
    return Answer({name: getattr(answer, name) for name in SOLVENCY_FIELDS})


async def _ask(call: Call, method: str, request: Any) -> Any:
    return await ask(getattr(call.clients.market, method), request, authorization=call.authorization)


def _market_id(call: Call) -> str:
    return call.id(ErrorCode.MARKET_NOT_FOUND)


def _details(message: market_pb2.MarketDetails, is_admin: bool) -> dict[str, Any]:
    shown = shapes.admin_market(message.market) if is_admin else shapes.market(message.market)
    return {
        **shown,
        "volume_24h_micros": message.volume_24h_micros,
        "change_24h_micros": message.change_24h_micros,
    }


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
