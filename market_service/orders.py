"""A quote's request as the engine's command. What depends on the market is the engine's to refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from db_service.paging import bad_field
from engine.commands import PlaceOrder
from engine.state import OrderType, Outcome, SelfTrade, Side, TimeInForce
from engine.units import AMOUNT_MAX_MICROS, BASIS_POINTS, MICROS
from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2
from runtime.ids import is_canonical_uuid

QUOTE_ORDER_ID: Final = "00000000-0000-4000-8000-00000000000e"
"""The order of every quote; it never comes to be."""
DEFAULT_SLIPPAGE_BPS: Final = 100
TIME_MAX_MICROS: Final = 253_402_300_799_999_999

_SIDES = {common_pb2.SIDE_BUY: Side.BUY, common_pb2.SIDE_SELL: Side.SELL}
_OUTCOMES = {common_pb2.OUTCOME_YES: Outcome.YES, common_pb2.OUTCOME_NO: Outcome.NO}
_TYPES = {market_pb2.QUOTE_TYPE_LIMIT: OrderType.LIMIT, market_pb2.QUOTE_TYPE_MARKET: OrderType.MARKET}
_TIMES = {
    market_pb2.QUOTE_TIME_GTC: TimeInForce.GTC,
    market_pb2.QUOTE_TIME_GTD: TimeInForce.GTD,
    market_pb2.QUOTE_TIME_IOC: TimeInForce.IOC,
    market_pb2.QUOTE_TIME_FOK: TimeInForce.FOK,
}
Chosen = TypeVar("Chosen")


def an_id(name: str, value: str) -> str:
    """Raises INVALID_ARGUMENT."""
    if not is_canonical_uuid(value):
        raise bad_field(name, "must be a lower-case UUID with dashes")
    return value


def amount(name: str, value: int) -> int:
    """Raises INVALID_ARGUMENT."""
    if not 0 <= value <= AMOUNT_MAX_MICROS:
        raise bad_field(name, f"must be between 0 and {AMOUNT_MAX_MICROS}")
    return value


def a_time(name: str, value: int) -> int:
    """Raises INVALID_ARGUMENT."""
    if not 0 <= value <= TIME_MAX_MICROS:
        raise bad_field(name, "must be microseconds since 1970, before the year 10000")
    return value


def wanted(request: market_pb2.GetQuoteRequest, user_id: str) -> PlaceOrder:
    """Raises INVALID_ARGUMENT that names the field."""
    kind = _one_of("type", request.type, _TYPES)
    usual = TimeInForce.GTC if kind is OrderType.LIMIT else TimeInForce.IOC
    slippage_bps = DEFAULT_SLIPPAGE_BPS
    if request.HasField("max_slippage_bps"):
        slippage_bps = request.max_slippage_bps
    if not 0 <= slippage_bps <= BASIS_POINTS:
        raise bad_field("max_slippage_bps", f"must be between 0 and {BASIS_POINTS}")
    if not 0 <= request.expected_price_micros < MICROS:
        raise bad_field("expected_price_micros", f"must be between 0 and {MICROS - 1}")
    amount("balance_micros", request.balance_micros)
    return PlaceOrder(
        market_id=an_id("market_id", request.market_id),
        actor_id=user_id,
        order_id=QUOTE_ORDER_ID,
        side=_one_of("side", request.side, _SIDES),
        outcome=_one_of("outcome", request.outcome, _OUTCOMES),
        type=kind,
        time_in_force=_one_of(
            "time_in_force", request.time_in_force, {**_TIMES, market_pb2.QUOTE_TIME_UNSPECIFIED: usual}
        ),
        price_micros=amount("price_micros", request.price_micros),
        quantity_micros=amount("quantity_micros", request.quantity_micros),
        amount_micros=amount("amount_micros", request.amount_micros),
        close_position=request.close_position,
        post_only=request.post_only,
        expires_at=a_time("expires_at", request.expires_at),
        self_trade=SelfTrade.CANCEL_MAKER if request.cancel_own_makers else SelfTrade.CANCEL_TAKER,
        max_slippage_bps=slippage_bps,
        expected_price_micros=request.expected_price_micros,
    )


def _one_of(name: str, value: int, known: Mapping[Any, Chosen]) -> Chosen:
    try:
        return known[value]
    except KeyError:
        raise bad_field(name, "is missing or unknown") from None
