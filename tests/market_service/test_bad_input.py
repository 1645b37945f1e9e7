"""What nobody should send: refused with a code that names the field, never an internal error, never a hang."""

from __future__ import annotations

from typing import Any

import pytest

from predmarket.market.v1 import market_pb2
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call
from tests.market_service.support import Exchange, spend
from tests.order_service.support import POINT, new_user

TEXTS = ("", "x", "%00", "A" * 5_000, "{" + new_user() + "}", new_user().upper(), "urn:uuid:" + new_user())
NUMBERS = (-1, 2**53 + 1, 2**63 - 1, -(2**63), 10**15 + 1)


async def refused(exchange: Exchange, method: str, request: Any, user: str = "") -> ErrorCode:
    with pytest.raises(ApiError) as error:
        await exchange.reader.ask(method, request, user)
    return error.value.code


async def test_ids_have_one_spelling(exchange: Exchange) -> None:
    for text in TEXTS:
        requests = [
            ("GetMarket", market_pb2.GetMarketRequest(market_id=text)),
            ("GetBook", market_pb2.GetBookRequest(market_id=text)),
            ("GetTicker", market_pb2.GetTickerRequest(market_id=text)),
            ("ListTickers", market_pb2.ListTickersRequest(market_ids=[text])),
            ("ListHolders", market_pb2.ListHoldersRequest(market_id=text)),
            ("GetSolvency", market_pb2.GetSolvencyRequest(market_id=text)),
            ("GetQuote", spend(text, POINT)),
        ]
        for method, request in requests:
            assert await refused(exchange, method, request) is ErrorCode.INVALID_ARGUMENT, (method, text)


async def test_numbers_out_of_range_and_unknown_enums_are_refused(exchange: Exchange) -> None:
    market_id = await exchange.orders.open_market(new_user())
    good = {"market_id": market_id, "side": 1, "outcome": 1, "type": 2, "amount_micros": POINT}
    fields = ("price_micros", "quantity_micros", "amount_micros", "expected_price_micros", "balance_micros")
    cases: list[dict[str, Any]] = [{name: number} for name in fields for number in NUMBERS]
    cases += [{"side": each} for each in (0, 99)] + [{"outcome": each} for each in (0, 99)]
    cases += [{"type": each} for each in (0, 99)] + [{"time_in_force": 99}]
    cases += [{"max_slippage_bps": each} for each in (-1, 10_001)]
    cases += [{"expires_at": each} for each in (-1, 2**63 - 1, 1)]
    for changes in cases:
        request = market_pb2.GetQuoteRequest(**{**good, **changes})
        assert await refused(exchange, "GetQuote", request) is ErrorCode.INVALID_ARGUMENT, changes
    for depth in (-1, 1_001, 2**31 - 1):
        request_ = market_pb2.GetBookRequest(market_id=market_id, depth=depth)
        assert await refused(exchange, "GetBook", request_) is ErrorCode.INVALID_ARGUMENT


async def test_the_largest_numbers_are_quoted(exchange: Exchange) -> None:
    """What the engine would refuse is refused; what it takes is answered."""
    market_id = await exchange.orders.open_market(new_user())
    for fields in ({"amount_micros": 10**15}, {"quantity_micros": 10**15}, {"quantity_micros": 1_000}):
        usual = {"amount_micros": 0, "balance_micros": 10**15, "with_impact": True}
        request = spend(market_id, 0, **{**usual, **fields})
        made = await exchange.reader.ask("GetQuote", request)
        assert made.execution.quantity_micros > 0
        assert made.largest.total_micros <= 10**15


async def test_pages_of_tickers_and_holders_are_checked(exchange: Exchange) -> None:
    market_id = await exchange.orders.open_market(new_user())
    for fields in (
        {"page_size": -1},
        {"page_size": 201},
        {"page_token": "x"},
        {"page_token": "é"},
        {"page_token": "A" * 600},
    ):
        for method, request in (
            ("ListTickers", market_pb2.ListTickersRequest(**fields)),
            ("ListHolders", market_pb2.ListHoldersRequest(market_id=market_id, **fields)),
        ):
            assert await refused(exchange, method, request) is ErrorCode.INVALID_ARGUMENT, (method, fields)
    both = market_pb2.ListTickersRequest(market_ids=[market_id], page_size=1)
    assert await refused(exchange, "ListTickers", both) is ErrorCode.INVALID_ARGUMENT
    many = market_pb2.ListTickersRequest(market_ids=[new_user() for _ in range(201)])
    assert await refused(exchange, "ListTickers", many) is ErrorCode.INVALID_ARGUMENT


async def test_a_token_that_is_there_must_be_good(exchange: Exchange) -> None:
    market_id = await exchange.orders.open_market(new_user())
    read, request = exchange.reader.stub.GetBook, market_pb2.GetBookRequest(market_id=market_id)
    for token in ("Bearer x", "x", "Bearer pmk_x_y"):
        with pytest.raises(ApiError) as error:
            await call(read, request, deadline_seconds=5, authorization=token)
        assert error.value.code is ErrorCode.UNAUTHENTICATED, token
