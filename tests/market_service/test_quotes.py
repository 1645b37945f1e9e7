"""A quote is what the order would do: figures of the published example, and whose position counts."""

from __future__ import annotations

from typing import Any

from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2
from tests.market_service.support import Exchange
from tests.order_service.support import POINT, limit, new_user

BUY, SELL = common_pb2.SIDE_BUY, common_pb2.SIDE_SELL
YES, NO = common_pb2.OUTCOME_YES, common_pb2.OUTCOME_NO


async def quote(
    exchange: Exchange, market_id: str, user: str = "", **fields: Any
) -> market_pb2.GetQuoteResponse:
    """A MARKET BUY of YES, unless said otherwise."""
    usual = {"side": BUY, "outcome": YES, "type": market_pb2.QUOTE_TYPE_MARKET}
    request = market_pb2.GetQuoteRequest(market_id=market_id, **{**usual, **fields})
    answer: market_pb2.GetQuoteResponse = await exchange.reader.ask("GetQuote", request, user)
    return answer


async def rich(exchange: Exchange) -> str:
    user = new_user()
    await exchange.orders.grant(user)
    return user


async def test_the_published_example_is_quoted_to_the_micro(exchange: Exchange) -> None:
    ann, ben = await rich(exchange), await rich(exchange)
    market_id = await exchange.orders.open_market(new_user())
    await exchange.orders.ask("PlaceOrder", limit(market_id, 38, 4, outcome=NO), ben)
    made = await quote(
        exchange,
        market_id,
        ann,
        type=market_pb2.QUOTE_TYPE_LIMIT,
        price_micros=620_000,
        quantity_micros=50 * POINT,
    )
    figures = made.execution
    assert (figures.quantity_micros, figures.resting_micros) == (46_230_700, 3_769_300)
    assert (figures.cost_micros, figures.fee_micros) == (28_242_681, 576_382)
    assert figures.average_price_micros == 610_908
    legs = [
        (leg.venue, leg.price_micros, leg.quantity_micros, leg.cost_micros, leg.fee_micros)
        for leg in made.legs
    ]
    assert legs == [
        ("POOL", 610_047, 42_230_700, 25_762_681, 525_769),
        ("BOOK", 620_000, 4_000_000, 2_480_000, 50_613),
    ]
    assert (made.valid_seq, made.spot_price_micros, made.is_affordable) == (3, 600_000, True)
