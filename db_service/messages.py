"""Rows to gRPC messages."""

from __future__ import annotations

from db_service.store import shown
from db_service.store.objects import Row, market_of
from db_service.store.shown import OUTCOMES, SIDES
from engine.settlement import payout_of
from engine.state import Market, MarketStatus, Position
from engine.units import MICROS
from predmarket.common.v1 import common_pb2
from predmarket.db.v1 import db_pb2
from runtime.clock import from_datetime


def fill_message(row: Row) -> common_pb2.Fill:
    """A row of `fills`."""
    return common_pb2.Fill(
        trade_id=str(row["trade_id"]),
        order_id=str(row["order_id"]),
        market_id=str(row["market_id"]),
        seq=row["seq"],
        venue=row["venue"],
        liquidity=row["liquidity"],
        side=SIDES[row["side"]],
        outcome=OUTCOMES[row["outcome"]],
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
        outcome=OUTCOMES[row["outcome"]],
        taker_side=SIDES[row["taker_side"]],
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
    message = shown.market_message(market_of(row), seq=row["seq"], shard=row["shard_id"])
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
