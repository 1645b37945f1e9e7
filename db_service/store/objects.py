"""Rows to objects of the engine. A column carries its field's name, with `_micros` where the unit is micros."""

from __future__ import annotations

from typing import Any, Protocol

from db_service.store.tables import MARKET_COLUMNS, ORDER_COLUMNS, POSITION_COLUMNS
from engine.state import (
    Market,
    MarketStatus,
    Order,
    OrderStatus,
    OrderType,
    Outcome,
    Position,
    SelfTrade,
    Side,
    TimeInForce,
)


class Row(Protocol):
    """Something with values by column."""

    def __getitem__(self, key: str, /) -> Any: ...


def market_of(row: Row) -> Market:
    """A row of `markets`."""
    values = {name: row[column] for name, column in MARKET_COLUMNS.items()}
    values["status"] = MarketStatus(values["status"])
    ordered = tuple(values[name] for name in Market.FIELDS)
    market = Market(str(row["market_id"]), str(row["created_by"]), row["created_at"], ordered)
    market.seq, market.last_hash = row["seq"], row["last_hash"]
    return market


def position_of(row: Row) -> Position:
    """A row of `positions`."""
    return Position(
        str(row["market_id"]), str(row["user_id"]), tuple([row[column] for column in POSITION_COLUMNS])
    )


def order_of(row: Row) -> Order:
    """A row of `orders`. A start-up makes one for every open order, so it does little else."""
    order = Order(
        order_id=str(row["order_id"]),
        market_id=str(row["market_id"]),
        user_id=str(row["user_id"]),
        client_order_id=row["client_order_id"],
        side=_SIDES[row["side"]],
        outcome=_OUTCOMES[row["outcome"]],
        type=_TYPES[row["type"]],
        time_in_force=_TIMES[row["time_in_force"]],
        post_only=row["post_only"],
        self_trade=_SELF_TRADES[row["self_trade"]],
        amount_micros=row["amount_micros"],
        created_at=row["created_at"],
        price_micros=row["price_micros"],
        quantity=row["quantity_micros"],
        expires_at=row["expires_at"],
    )
    order.restore(tuple([row[column] for column in ORDER_COLUMNS]))
    order.status = _STATUSES[row["status"]]
    return order


_SIDES = {each.value: each for each in Side}
_OUTCOMES = {each.value: each for each in Outcome}
_TYPES = {each.value: each for each in OrderType}
_TIMES = {each.value: each for each in TimeInForce}
_SELF_TRADES = {each.value: each for each in SelfTrade}
_STATUSES = {each.value: each for each in OrderStatus}
