"""A quote is what the order would do: figures of the published example, and whose position counts."""

from __future__ import annotations

import itertools
import os
import random
from typing import Any

import pytest

from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.market_service.support import Exchange
from tests.market_service.traffic import quote_then_trade
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


async def test_a_quote_is_what_the_order_does_to_the_micro(exchange: Exchange) -> None:
    count = int(os.environ.get("QUOTES_COUNT", "250"))
    seed = int(os.environ.get("QUOTES_SEED") or random.SystemRandom().randrange(10**6))
    tally = await quote_then_trade(exchange, count, seed)
    print(f"seed {seed}: {tally}")
    assert min(tally.placed // 20, tally.netted) > 3, (seed, tally)
    assert set(tally.venues) == {"BOOK", "POOL"}, (seed, tally)


async def test_the_callers_position_is_netted(exchange: Exchange) -> None:
    ann = await rich(exchange)
    market_id = await exchange.orders.open_market(new_user())
    bought = await exchange.orders.ask("PlaceOrder", market_buy(market_id, 30 * POINT, outcome=NO), ann)
    held = bought.order.filled_micros
    made = (await quote(exchange, market_id, ann, quantity_micros=held + POINT)).execution
    assert (made.netted_micros, made.payout_micros) == (held, POINT)
    nobody = (await quote(exchange, market_id, quantity_micros=held + POINT)).execution
    assert (nobody.netted_micros, nobody.payout_micros) == (0, held + POINT)
    assert nobody.fee_micros > made.fee_micros


async def test_who_asks_without_a_token_is_taken_to_hold_what_is_sold(exchange: Exchange) -> None:
    ann = await rich(exchange)
    market_id = await exchange.orders.open_market(new_user())
    made = await quote(exchange, market_id, side=SELL, quantity_micros=10 * POINT)
    figures = made.execution
    assert (figures.quantity_micros, figures.netted_micros) == (10 * POINT, 10 * POINT)
    assert 0 < figures.proceeds_micros < 6 * POINT
    assert (made.is_affordable, made.available_micros, made.HasField("largest")) == (True, 0, False)
    with pytest.raises(ApiError) as refused:
        await quote(exchange, market_id, ann, side=SELL, quantity_micros=10 * POINT)
    assert refused.value.code is ErrorCode.INSUFFICIENT_SHARES


async def test_points_that_lack_are_said_and_refuse_nothing(exchange: Exchange) -> None:
    ann = await rich(exchange)
    market_id = await exchange.orders.open_market(new_user())
    for fields in (
        {"amount_micros": 10_001 * POINT},
        {
            "type": market_pb2.QUOTE_TYPE_LIMIT,
            "price_micros": 500_000,
            "quantity_micros": 20_000 * POINT,
        },
    ):
        made = await quote(exchange, market_id, ann, **fields)
        assert (made.is_affordable, made.available_micros) == (False, 10_000 * POINT)
    made = await quote(exchange, market_id, ann, amount_micros=10_000 * POINT)
    assert made.is_affordable
    assert not made.is_within_slippage
    assert made.execution == made.largest
    made = await quote(exchange, market_id, ann, amount_micros=10_000 * POINT, max_slippage_bps=10_000)
    assert made.is_within_slippage
    assert made.execution.zone == market_pb2.IMPACT_ZONE_DANGER


async def test_the_largest_order_spends_the_balance_or_sells_the_holding(exchange: Exchange) -> None:
    ann = await rich(exchange)
    market_id = await exchange.orders.open_market(new_user())
    made = await quote(exchange, market_id, amount_micros=POINT, balance_micros=50 * POINT)
    assert made.largest == (await quote(exchange, market_id, amount_micros=50 * POINT)).execution
    bought = await exchange.orders.ask("PlaceOrder", market_buy(market_id, 20 * POINT), ann)
    made = await quote(exchange, market_id, ann, side=SELL, quantity_micros=POINT)
    assert made.largest.quantity_micros == bought.order.filled_micros
    request = order_pb2.PlaceOrderRequest(
        market_id=market_id,
        side=SELL,
        outcome=YES,
        type=order_pb2.ORDER_TYPE_MARKET,
        close_position=True,
        max_slippage_bps=10_000,
    )
    sold = (await exchange.orders.ask("PlaceOrder", request, ann)).order
    assert made.largest.proceeds_micros == sold.cost_micros - sold.fee_micros


async def test_the_curve_grows_from_safe_to_danger(exchange: Exchange) -> None:
    ann = await rich(exchange)
    market_id = await exchange.orders.open_market(new_user())
    made = await quote(exchange, market_id, amount_micros=POINT, with_impact=True)
    points = list(made.impact)
    assert [point.zone for point in points] == sorted(point.zone for point in points)
    assert {point.zone for point in points} == {
        market_pb2.IMPACT_ZONE_SAFE,
        market_pb2.IMPACT_ZONE_SLIPPAGE,
        market_pb2.IMPACT_ZONE_DANGER,
    }
    for before, after in itertools.pairwise(points):
        assert before.amount_micros < after.amount_micros
        assert before.average_price_micros < after.average_price_micros
        assert before.probability_after_micros < after.probability_after_micros
    for point in points[:4]:
        alone = (await quote(exchange, market_id, amount_micros=point.amount_micros)).execution
        assert (alone.quantity_micros, alone.slippage_bps) == (point.quantity_micros, point.slippage_bps)
    bought = await exchange.orders.ask("PlaceOrder", market_buy(market_id, 7 * POINT), ann)
    sells = await quote(exchange, market_id, ann, side=SELL, quantity_micros=POINT, with_impact=True)
    assert sells.impact[-1].quantity_micros == bought.order.filled_micros  # all that is held, and no more
    assert {point.amount_micros for point in sells.impact} == {0}


async def test_what_refuses_an_order_refuses_its_quote(exchange: Exchange) -> None:
    admin = new_user()
    market_id = await exchange.orders.open_market(admin)
    limit_order = {"type": market_pb2.QUOTE_TYPE_LIMIT, "price_micros": 500_000, "quantity_micros": POINT}
    cases: list[tuple[dict[str, Any], ErrorCode]] = [
        ({**limit_order, "price_micros": 505_000}, ErrorCode.PRICE_NOT_ON_TICK),
        ({**limit_order, "quantity_micros": POINT + 1}, ErrorCode.QUANTITY_NOT_ON_LOT),
        ({**limit_order, "time_in_force": market_pb2.QUOTE_TIME_FOK}, ErrorCode.FOK_NOT_FILLABLE),
        ({**limit_order, "time_in_force": market_pb2.QUOTE_TIME_IOC}, ErrorCode.NOTHING_FILLED),
        (
            {**limit_order, "time_in_force": market_pb2.QUOTE_TIME_GTD, "expires_at": 1},
            ErrorCode.INVALID_ARGUMENT,
        ),
        ({**limit_order, "price_micros": 700_000, "post_only": True}, ErrorCode.POST_ONLY_WOULD_TAKE),
        ({"amount_micros": 999}, ErrorCode.AMOUNT_TOO_SMALL),
        ({"amount_micros": POINT, "quantity_micros": POINT}, ErrorCode.INVALID_ARGUMENT),
        ({"side": SELL, "close_position": True}, ErrorCode.INSUFFICIENT_SHARES),
    ]
    for fields, code in cases:
        with pytest.raises(ApiError) as refused:
            await quote(exchange, market_id, **fields)
        assert refused.value.code is code, fields
    await exchange.orders.admin("PauseMarket", order_pb2.PauseMarketRequest(market_id=market_id), admin)
    with pytest.raises(ApiError) as refused:
        await quote(exchange, market_id, amount_micros=POINT)
    assert refused.value.code is ErrorCode.MARKET_NOT_ACTIVE
    draft = order_pb2.MarketTerms(question="Not yet?", liquidity_micros=100 * POINT)
    created = await exchange.orders.admin("CreateMarket", order_pb2.CreateMarketRequest(terms=draft), admin)
    for unknown in (created.market.market_id, new_user(), "00000000-0000-4000-9000-000000000000"):
        with pytest.raises(ApiError) as refused:
            await quote(exchange, unknown, amount_micros=POINT)
        assert refused.value.code is ErrorCode.MARKET_NOT_FOUND


def market_buy(market_id: str, amount_micros: int, outcome: Any = YES) -> order_pb2.PlaceOrderRequest:
    return order_pb2.PlaceOrderRequest(
        market_id=market_id,
        side=BUY,
        outcome=outcome,
        type=order_pb2.ORDER_TYPE_MARKET,
        amount_micros=amount_micros,
        max_slippage_bps=10_000,
    )
