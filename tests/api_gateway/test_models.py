"""Bodies and queries: strict, with a pointer to each bad field."""

from typing import Any

import pytest

from api_gateway import admin_models, models
from api_gateway.administration import edited_terms
from api_gateway.checks import parsed, parsed_query
from api_gateway.trading import place_request
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError

MARKET = "0190a000-0000-7000-8000-000000000001"
ORDER: dict[str, Any] = {
    "market_id": MARKET,
    "side": "BUY",
    "outcome": "YES",
    "type": "LIMIT",
    "time_in_force": "GTC",
    "price_micros": 620_000,
    "quantity_micros": 10_000_000,
    "client_order_id": "a-1",
}
BAD = [
    ("/price_micros", {"price_micros": True}),
    ("/price_micros", {"price_micros": "620000"}),
    ("/price_micros", {"price_micros": 620_000.0}),
    ("/price_micros", {"price_micros": 0}),
    ("/price_micros", {"price_micros": 1_000_000}),
    ("/quantity_micros", {"quantity_micros": -1}),
    ("/quantity_micros", {"quantity_micros": 10**15 + 1}),
    ("/post_only", {"post_only": 1}),
    ("/side", {"side": "buy"}),
    ("/type", {"type": "STOP"}),
    ("/market_id", {"market_id": MARKET.upper()}),
    ("/market_id", {"market_id": "{" + MARKET + "}"}),
    ("/client_order_id", {"client_order_id": "x" * 65}),
    ("/client_order_id", {"client_order_id": "a b"}),
    ("/expires_at", {"expires_at": "2030-01-01T00:00:00"}),
    ("/expires_at", {"expires_at": 1_893_456_000}),
    ("/expires_at", {"expires_at": "9999-12-31T23:59:59.999999-12:00"}),
    ("/max_slippage_bps", {"max_slippage_bps": 10_001}),
    ("/nonsense", {"nonsense": 1}),
    ("/a~1b~0", {"a/b~": 1}),
]


@pytest.mark.parametrize(("pointer", "change"), BAD)
def test_a_bad_field_is_named(pointer: str, change: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        parsed(models.PlaceOrder, {**ORDER, **change})
    assert [field.pointer for field in refused.value.fields] == [pointer]


def test_an_order_becomes_its_message() -> None:
    body = {**ORDER, "time_in_force": "GTD", "expires_at": "2030-01-01T01:00:00.000001+01:00"}
    request = place_request(parsed(models.PlaceOrder, body), "k")
    assert request == order_pb2.PlaceOrderRequest(
        idempotency_key="k",
        market_id=MARKET,
        side=common_pb2.SIDE_BUY,
        outcome=common_pb2.OUTCOME_YES,
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTD,
        price_micros=620_000,
        quantity_micros=10_000_000,
        expires_at=1_893_456_000_000_001,
        client_order_id="a-1",
    )
    assert not request.HasField("max_slippage_bps")


@pytest.mark.parametrize("limit", ["0", "201", "1e2", "x", "", "-1", "9" * 5_000])
def test_a_page_has_a_size_within_bounds(limit: str) -> None:
    with pytest.raises(ApiError):
        parsed_query(models.Page, {"limit": limit})


def test_a_query_is_read_from_its_texts() -> None:
    assert parsed_query(models.MarketsPage, {"limit": "20", "status": "ACTIVE"}).limit == 20
    with pytest.raises(ApiError):
        parsed_query(models.MarketsPage, {"colour": "red"})


def test_an_edit_keeps_what_it_does_not_name() -> None:
    market = common_pb2.Market(question="Q?", description="d", fee_bps=0, tick_micros=10_000, closes_at=5)
    market.liquidity_micros, market.initial_probability_micros = 7, 500_000
    terms = edited_terms(market, parsed(admin_models.EditTerms, {"description": "new"}))
    assert (terms.question, terms.description, terms.fee_bps, terms.closes_at) == ("Q?", "new", 0, 5)
    assert edited_terms(market, parsed(admin_models.EditTerms, {"closes_at": None})).closes_at == 0


def test_an_amendment_changes_something() -> None:
    with pytest.raises(ApiError):
        parsed(models.AmendOrder, {})
