"""Requests to commands. Every field is checked here, strictly; what depends on the market is the engine's to refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from engine import commands as c
from engine.state import OrderType, Outcome, SelfTrade, Side, TimeInForce, Verdict
from engine.units import AMOUNT_MAX_MICROS, BASIS_POINTS
from order_service.requests import KEY_MAX_CHARACTERS
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.ids import is_canonical_uuid

CLIENT_ORDER_ID_MAX = 64
REASON_MAX_CHARACTERS = 1_000
TIME_MAX_MICROS = 253_402_300_799_999_999
"""The end of the year 9999: the last time that can be shown."""
GRANT_KINDS = frozenset({"SIGNUP", "GENESIS", "PROMOTION", "REWARD", "CORRECTION"})
SERVICE_GRANT_KINDS = frozenset({"SIGNUP", "GENESIS"})
GRANT_KEY_PREFIX = "grant:"

_SIDES = {common_pb2.SIDE_BUY: Side.BUY, common_pb2.SIDE_SELL: Side.SELL}
_OUTCOMES = {common_pb2.OUTCOME_YES: Outcome.YES, common_pb2.OUTCOME_NO: Outcome.NO}
_TYPES = {order_pb2.ORDER_TYPE_LIMIT: OrderType.LIMIT, order_pb2.ORDER_TYPE_MARKET: OrderType.MARKET}
_TIMES = {
    order_pb2.TIME_IN_FORCE_GTC: TimeInForce.GTC,
    order_pb2.TIME_IN_FORCE_GTD: TimeInForce.GTD,
    order_pb2.TIME_IN_FORCE_IOC: TimeInForce.IOC,
    order_pb2.TIME_IN_FORCE_FOK: TimeInForce.FOK,
}
_SELF_TRADES = {
    order_pb2.SELF_TRADE_POLICY_UNSPECIFIED: SelfTrade.CANCEL_TAKER,
    order_pb2.SELF_TRADE_POLICY_CANCEL_TAKER: SelfTrade.CANCEL_TAKER,
    order_pb2.SELF_TRADE_POLICY_CANCEL_MAKER: SelfTrade.CANCEL_MAKER,
}
_VERDICTS = {
    order_pb2.VERDICT_YES: Verdict.YES,
    order_pb2.VERDICT_NO: Verdict.NO,
    order_pb2.VERDICT_AMBIGUOUS: Verdict.AMBIGUOUS,
}

Chosen = TypeVar("Chosen")


def bad_field(name: str, detail: str) -> ApiError:
    """INVALID_ARGUMENT that names the field."""
    message = f"{name} {detail}"
    return ApiError(ErrorCode.INVALID_ARGUMENT, message, fields=[FieldError(f"/{name}", detail)], field=name)


def one_of(name: str, value: int, known: Mapping[Any, Chosen]) -> Chosen:
    try:
        return known[value]
    except KeyError:
        raise bad_field(name, "is missing or unknown") from None


def an_id(name: str, value: str) -> str:
    if not is_canonical_uuid(value):
        raise bad_field(name, "must be a lower-case UUID with dashes")
    return value


def a_text(name: str, value: str, longest: int) -> str:
    if len(value) > longest:
        raise bad_field(name, f"must have at most {longest} characters")
    if "\x00" in value:
        raise bad_field(name, "must not hold a NUL character")
    return value


def a_key(value: str) -> str:
    if value.startswith(GRANT_KEY_PREFIX):
        raise bad_field("idempotency_key", "must not begin with grant:")
    return a_text("idempotency_key", value, KEY_MAX_CHARACTERS)


def an_amount(name: str, value: int) -> int:
    if not 0 <= value <= AMOUNT_MAX_MICROS:
        raise bad_field(name, f"must be between 0 and {AMOUNT_MAX_MICROS}")
    return value


def a_time(name: str, value: int) -> int:
    if not 0 <= value <= TIME_MAX_MICROS:
        raise bad_field(name, "must be microseconds since 1970, before the year 10000")
    return value


def place(request: order_pb2.PlaceOrderRequest, user_id: str, order_id: str) -> c.PlaceOrder:
    kind = one_of("type", request.type, _TYPES)
    default = TimeInForce.GTC if kind is OrderType.LIMIT else TimeInForce.IOC
    times = {**_TIMES, order_pb2.TIME_IN_FORCE_UNSPECIFIED: default}
    slippage_bps = request.max_slippage_bps if request.HasField("max_slippage_bps") else 100
    if not 0 <= slippage_bps <= BASIS_POINTS:
        raise bad_field("max_slippage_bps", f"must be between 0 and {BASIS_POINTS}")
    return c.PlaceOrder(
        market_id=an_id("market_id", request.market_id),
        actor_id=user_id,
        order_id=order_id,
        side=one_of("side", request.side, _SIDES),
        outcome=one_of("outcome", request.outcome, _OUTCOMES),
        type=kind,
        time_in_force=one_of("time_in_force", request.time_in_force, times),
        price_micros=an_amount("price_micros", request.price_micros),
        quantity_micros=an_amount("quantity_micros", request.quantity_micros),
        amount_micros=an_amount("amount_micros", request.amount_micros),
        close_position=request.close_position,
        post_only=request.post_only,
        self_trade=one_of("self_trade", request.self_trade, _SELF_TRADES),
        expires_at=a_time("expires_at", request.expires_at),
        max_slippage_bps=slippage_bps,
        expected_price_micros=an_amount("expected_price_micros", request.expected_price_micros),
        client_order_id=a_text("client_order_id", request.client_order_id, CLIENT_ORDER_ID_MAX),
    )


def amend(request: order_pb2.AmendOrderRequest, user_id: str, market_id: str) -> c.AmendOrder:
    return c.AmendOrder(
        market_id=market_id,
        actor_id=user_id,
        order_id=an_id("order_id", request.order_id),
        price_micros=an_amount("price_micros", request.price_micros),
        quantity_micros=an_amount("quantity_micros", request.quantity_micros),
    )


def terms(request: order_pb2.MarketTerms) -> c.MarketTerms:
    """Defaults filled in; what a market may be is the engine's to say."""
    return c.MarketTerms(
        question=a_text("question", request.question, 300),
        description=a_text("description", request.description, 10_000),
        rules=a_text("rules", request.rules, 10_000),
        resolution_source=a_text("resolution_source", request.resolution_source, 1_000),
        category=a_text("category", request.category, 60),
        tick_micros=an_amount("tick_micros", request.tick_micros) or 10_000,
        fee_bps=request.fee_bps if request.HasField("fee_bps") else 200,
        liquidity_micros=an_amount("liquidity_micros", request.liquidity_micros),
        initial_probability_micros=an_amount("initial_probability_micros", request.initial_probability_micros)
        or 500_000,
        opens_at=a_time("opens_at", request.opens_at),
        closes_at=a_time("closes_at", request.closes_at),
    )


def verdict(value: int) -> Verdict:
    return one_of("outcome", value, _VERDICTS)


def a_reason(value: str) -> str:
    return a_text("reason", value, REASON_MAX_CHARACTERS)


def grant(
    request: order_pb2.GrantPointsRequest, *, actor_id: str, market_id: str, role: str
) -> c.GrantPoints:
    """SIGNUP and GENESIS are for role `service` only; an admin says why."""
    if request.kind not in GRANT_KINDS:
        raise bad_field("kind", f"must be one of {', '.join(sorted(GRANT_KINDS))}")
    if (request.kind in SERVICE_GRANT_KINDS) != (role == "service"):
        raise ApiError(ErrorCode.FORBIDDEN, f"{request.kind} is not for role {role}")
    if not 1 <= abs(request.amount_micros) <= AMOUNT_MAX_MICROS:
        raise bad_field("amount_micros", f"must be 1..{AMOUNT_MAX_MICROS}, or negative to take back")
    if role != "service" and not request.reason.strip():
        raise bad_field("reason", "is needed")
    return c.GrantPoints(
        market_id=market_id,
        actor_id=actor_id,
        user_id=an_id("user_id", request.user_id),
        grant=request.kind,
        amount_micros=request.amount_micros,
        reason=a_reason(request.reason),
    )
