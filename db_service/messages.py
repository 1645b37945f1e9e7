"""Rows to gRPC messages."""

from __future__ import annotations

from collections.abc import Sequence

from db_service.store.objects import Row, market_of, order_of
from engine.router import printed_price
from engine.settlement import payout_of
from engine.state import Market, MarketStatus, OrderType, Position
from engine.units import MICROS
from predmarket.common.v1 import common_pb2
from predmarket.db.v1 import db_pb2
from runtime.clock import from_datetime

_SIDES = {"BUY": common_pb2.SIDE_BUY, "SELL": common_pb2.SIDE_SELL}
_OUTCOMES = {"YES": common_pb2.OUTCOME_YES, "NO": common_pb2.OUTCOME_NO}


def order_message(row: Row, fills: Sequence[common_pb2.Fill] = ()) -> common_pb2.Order:
    """A row of `orders`."""
    order = order_of(row)
    return common_pb2.Order(
        order_id=order.order_id,
        market_id=order.market_id,
        user_id=order.user_id,
        client_order_id=order.client_order_id,
        side=_SIDES[order.side],
        outcome=_OUTCOMES[order.outcome],
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


def fill_message(row: Row) -> common_pb2.Fill:
    """A row of `fills`."""
    return common_pb2.Fill(
        trade_id=str(row["trade_id"]),
        order_id=str(row["order_id"]),
        market_id=str(row["market_id"]),
        seq=row["seq"],
        venue=row["venue"],
        liquidity=row["liquidity"],
        side=_SIDES[row["side"]],
        outcome=_OUTCOMES[row["outcome"]],
        price_micros=row["price_micros"],
        quantity_micros=row["quantity_micros"],
        cost_micros=row["cost_micros"],
        fee_micros=row["fee_micros"],
        netted_micros=row["netted_micros"],
        time=row["time"],
    )


def trade_message(row: Row) -> db_pb2.Trade:
    """A row of `trades`."""
    return db_pb2.Trade(
        trade_id=str(row["trade_id"]),
        market_id=str(row["market_id"]),
        seq=row["seq"],
        venue=row["venue"],
        kind=row["kind"],
        outcome=_OUTCOMES[row["outcome"]],
        taker_side=_SIDES[row["taker_side"]],
        price_micros=row["price_micros"],
        quantity_micros=row["quantity_micros"],
        time=row["time"],
    )


def ledger_message(row: Row) -> db_pb2.LedgerRow:
    """A user's row of `trade_ledger`."""
    return db_pb2.LedgerRow(
        event_seq=row["event_seq"],
        market_id=str(row["market_id"]),
        kind=row["kind"],
        points_micros=row["points_micros"],
        yes_micros=row["yes_micros"],
        no_micros=row["no_micros"],
        balance_after_micros=row["balance_after_micros"],
        time=row["event_time"],
    )


def audit_message(row: Row) -> db_pb2.AuditRow:
    """A row of `audit_log`."""
    return db_pb2.AuditRow(
        audit_id=row["audit_id"],
        time=from_datetime(row["created_at"]),
        actor_id=str(row["actor_id"]),
        action=row["action"],
        target=row["target"],
        reason=row["reason"],
        before_json=row["before"] or "",
        after_json=row["after"] or "",
        trace_id=row["trace_id"],
    )


def market_message(row: Row, volume_24h_micros: int) -> db_pb2.MarketDetails:
    """A row of `markets`."""
    market = market_of(row)
    message = common_pb2.Market(
        market_id=market.market_id,
        question=market.question,
        description=market.description,
        rules=market.rules,
        resolution_source=market.resolution_source,
        category=market.category,
        status=market.status.value,
        reason=market.reason,
        outcome=market.outcome,
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
        seq=market.seq,
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
        shard=row["shard_id"],
    )
    return db_pb2.MarketDetails(market=message, volume_24h_micros=volume_24h_micros)


def position_message(position: Position, market: Market) -> db_pb2.Position:
    """A position, marked at its market."""
    return db_pb2.Position(
        market_id=position.market_id,
        yes_micros=position.yes,
        no_micros=position.no,
        locked_yes_micros=position.locked_yes,
        locked_no_micros=position.locked_no,
        cost_basis_yes_micros=position.basis_yes,
        cost_basis_no_micros=position.basis_no,
        realized_pnl_micros=position.realized_pnl,
        mark_micros=mark_of(position, market),
    )


def mark_of(position: Position, market: Market) -> int:
    """Points a holding is worth by P_YES, floor; in a decided market what it will be paid."""
    if market.status in (MarketStatus.RESOLVED, MarketStatus.CANCELLED):
        return payout_of(market, position)
    probability = market.probability_micros
    return (position.yes * probability + position.no * (MICROS - probability)) // MICROS
