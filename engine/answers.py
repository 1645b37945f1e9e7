"""First answers, rebuilt from an event alone: what a caller was told is what a replay of the key tells again."""

from __future__ import annotations

from dataclasses import dataclass

from engine.events import Event, Fill, Trade
from engine.replay import assign, new_order
from engine.router import trade_id
from engine.state import Order


@dataclass(frozen=True, slots=True)
class TradeFill:
    """A fill with what its trade adds."""

    trade_id: str
    trade: Trade
    fill: Fill
    user_id: str


def fills_of(event: Event) -> list[TradeFill]:
    """Every fill of an event, takers and makers."""
    effects = event.effects
    ids = [trade_id(trade.order_id, event.seq, index) for index, trade in enumerate(effects.trades)]
    return [
        TradeFill(ids[fill.trade], effects.trades[fill.trade], fill, effects.users[fill.user])
        for fill in effects.fills
    ]


def order_answer(event: Event, order_id: str) -> tuple[Order, list[TradeFill]]:
    """The order as this event left it, and its fills in it. For an event that placed it; KeyError when it did not."""
    new = event.effects.new_order
    if new is None or new.order_id != order_id:
        raise KeyError(order_id)
    after = next(order for order in event.effects.orders if order.order_id == order_id)
    order = new_order(event)
    assign(order, after, event)
    return order, [fill for fill in fills_of(event) if fill.fill.order_id == order_id]
