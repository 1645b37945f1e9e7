"""First answers, rebuilt from an event alone: what a caller was told is what a replay of the key tells again."""

from __future__ import annotations

from engine.events import Event, TradeFill
from engine.replay import assign, new_order
from engine.state import Order


def order_answer(event: Event, order_id: str) -> tuple[Order, list[TradeFill]]:
    """The order as this event left it, and its fills in it. For an event that placed it; KeyError when it did not."""
    new = event.effects.new_order
    if new is None or new.order_id != order_id:
        raise KeyError(order_id)
    after = next(order for order in event.effects.orders if order.order_id == order_id)
    order = new_order(event)
    assign(order, after, event)
    return order, [fill for fill in event.fills if fill.fill.order_id == order_id]
