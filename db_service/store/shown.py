"""The engine's orders, markets and refusals as every service shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.refusals import Refusal
from engine.router import printed_price
from engine.state import Market, Order, OrderType, Outcome, Side
from predmarket.common.v1 import common_pb2
from runtime.errors import ApiError, ErrorCode, FieldError

SIDES = {Side.BUY: common_pb2.SIDE_BUY, Side.SELL: common_pb2.SIDE_SELL}
OUTCOMES = {Outcome.YES: common_pb2.OUTCOME_YES, Outcome.NO: common_pb2.OUTCOME_NO}
"""By name too: the engine's enums are texts, and so are a row's columns."""


def order_message(order: Order, fills: Sequence[common_pb2.Fill] = ()) -> common_pb2.Order:
    """An order as it stands, with these of its fills."""
    return common_pb2.Order(
        order_id=order.order_id,
        market_id=order.market_id,
        user_id=order.user_id,
        client_order_id=order.client_order_id,
        side=SIDES[order.side],
        outcome=OUTCOMES[order.outcome],
        type=order.type.value,
        time_in_force=order.time_in_force.value,
        price_micros=order.price_micros if order.type is OrderType.LIMIT else 0,
        quantity_micros=order.quantity,
        amount_micros=order.amount_micros,
        filled_micros=order.filled,
        remaining_micros=order.remaining,
        cancelled_micros=order.cancelled,
        cost_micros=order.cost,
        fee_micros=order.fee,
        netted_micros=order.netted,
        locked_micros=order.locked_points,
        average_price_micros=printed_price(order.side, order.cost, order.filled),
        status=order.status.value,
        reason=order.reason,
        post_only=order.post_only,
        self_trade=order.self_trade.value,
        expires_at=order.expires_at,
        created_at=order.created_at,
        updated_at=order.updated_at,
        seq=order.seq,
        fills=fills,
    )


def market_message(market: Market, *, seq: int, shard: int, epoch: int = 0) -> common_pb2.Market:
    """A market as event `seq` left it; `epoch` is its owner's, where the caller knows it."""
    return common_pb2.Market(
        market_id=market.market_id,
        question=market.question,
        description=market.description,
        rules=market.rules,
        resolution_source=market.resolution_source,
        category=market.category,
        status=str(market.status),
        reason=market.reason,
        outcome=str(market.outcome),
        tick_micros=market.tick_micros,
        lot_micros=market.lot_micros,
        fee_bps=market.fee_bps,
        liquidity_micros=market.liquidity_micros,
        initial_probability_micros=market.initial_probability_micros,
        opens_at=market.opens_at,
        closes_at=market.closes_at,
        created_at=market.created_at,
        created_by=market.created_by,
        probability_micros=market.probability_micros,
        volume_micros=market.volume,
        seq=seq,
        collateral_micros=market.collateral,
        pool_yes_micros=market.pool_yes,
        pool_no_micros=market.pool_no,
        vault_micros=market.vault,
        treasury_yes_micros=market.treasury_yes,
        treasury_no_micros=market.treasury_no,
        treasury_points_micros=market.treasury_points,
        pending_micros=market.pending,
        last_price_micros=market.last_price_micros,
        settled=market.settled,
        epoch=epoch,
        shard=shard,
    )


def refused(refusal: Refusal) -> ApiError:
    """The same code and figures; the field it is about, if it names one."""
    details: dict[str, Any] = dict(refusal.details)
    name = details.get("field")
    fields = [FieldError(f"/{name}", refusal.message)] if name else []
    return ApiError(ErrorCode[refusal.code], refusal.message, fields=fields, **details)
