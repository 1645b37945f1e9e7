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
    values = tuple(row[column] for column in POSITION_COLUMNS)
    return Position(str(row["market_id"]), str(row["user_id"]), values)


def order_of(row: Row) -> Order:
    """A row of `orders`."""
    order = Order(
        order_id=str(row["order_id"]),
        market_id=str(row["market_id"]),
        user_id=str(row["user_id"]),
        client_order_id=row["client_order_id"],
        side=Side(row["side"]),
        outcome=Outcome(row["outcome"]),
        type=OrderType(row["type"]),
        time_in_force=TimeInForce(row["time_in_force"]),
        post_only=row["post_only"],
        self_trade=SelfTrade(row["self_trade"]),
        amount_micros=row["amount_micros"],
        created_at=row["created_at"],
        price_micros=row["price_micros"],
        quantity=row["quantity_micros"],
        expires_at=row["expires_at"],
    )
    order.restore(tuple(row[column] for column in ORDER_COLUMNS))
    order.status = OrderStatus(order.status)
    return order
