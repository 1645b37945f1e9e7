"""Folding events: an event's after-values, assigned. From zero it gives the state that the writer has."""

from __future__ import annotations

from typing import Any

from engine.commands import CreateMarket, MarketTerms
from engine.core import is_system_stream, system_stream
from engine.events import Event, MarketAfter, OrderAfter
from engine.state import (
    Ladder,
    Market,
    MarketState,
    MarketStatus,
    Order,
    OrderStatus,
    Position,
    ShardState,
)

_TERMS = MarketTerms.__struct_fields__


class BrokenLog(Exception):
    """An event does not follow the one before."""


def fold(state: ShardState, event: Event) -> None:
    """Apply one event's effects. Raises BrokenLog when its number is not the next of its market."""
    market_state = _market_of(state, event)
    market = market_state.market
    if event.seq != market.seq + 1:
        raise BrokenLog(f"market {event.market_id}: event {event.seq} follows {market.seq}")
    market.seq = event.seq
    effects = event.effects
    if effects.market is not None:
        market.restore(market_values(effects.market, market))
    for after in effects.orders:
        _fold_order(market_state, event, after)
    for position in effects.positions:
        user_id = effects.users[position.user]
        values = tuple(getattr(position, name) for name in Position.FIELDS)
        market_state.positions[user_id] = Position(event.market_id, user_id, values)
    for change in effects.accounts:
        account = state.account(effects.users[change.user])
        account.available += change.available_delta
        account.locked += change.locked_delta


def market_values(after: MarketAfter, terms: Market | MarketTerms) -> tuple[Any, ...]:
    """The fields of a market after an event; its terms are `terms` where the event did not change them."""
    stated = after.terms or terms
    changing = Market.FIELDS[len(_TERMS) :]
    values = [getattr(stated, name) for name in _TERMS] + [getattr(after, name) for name in changing]
    values[Market.FIELDS.index("status")] = MarketStatus(after.status)
    return tuple(values)


def _market_of(state: ShardState, event: Event) -> MarketState:
    market_state = state.markets.get(event.market_id)
    if market_state is None:
        if is_system_stream(event.market_id):
            market_state = system_stream(event.shard)
        elif isinstance(event.command, CreateMarket) and event.effects.market is not None:
            values = market_values(event.effects.market, event.command.terms)
            market_state = MarketState(Market(event.market_id, event.command.actor_id, event.time, values))
        else:
            raise BrokenLog(f"market {event.market_id} does not begin with its creation")
        state.markets[event.market_id] = market_state
    return market_state


def _fold_order(market_state: MarketState, event: Event, after: OrderAfter) -> None:
    order = market_state.orders.get(after.order_id)
    if order is not None:
        _take_out(market_state, order)
    elif event.effects.new_order is not None and event.effects.new_order.order_id == after.order_id:
        order = new_order(event)
    else:
        raise BrokenLog(f"order {after.order_id} was never placed, or had ended")
    assign(order, after, event)
    if order.is_open:
        market_state.load_order(order)


def new_order(event: Event) -> Order:
    """The order an event placed, before its after-values."""
    new = event.effects.new_order
    assert new is not None
    return Order(
        order_id=new.order_id,
        market_id=event.market_id,
        user_id=event.effects.users[new.user],
        client_order_id=new.client_order_id,
        side=new.side,
        outcome=new.outcome,
        type=new.type,
        time_in_force=new.time_in_force,
        post_only=new.post_only,
        self_trade=new.self_trade,
        amount_micros=new.amount_micros,
        created_at=event.time,
        price_micros=0,
        quantity=0,
        expires_at=0,
    )


def assign(order: Order, after: OrderAfter, event: Event) -> None:
    """Give an order its after-values."""
    for name in OrderAfter.__struct_fields__[2:]:
        setattr(order, name, getattr(after, name))
    order.status = OrderStatus(after.status)
    order.updated_at, order.seq = event.time, event.seq


def _take_out(market_state: MarketState, order: Order) -> None:
    ladder = market_state.ladders[order.leg]
    del ladder.orders[Ladder.key(order)]
    ladder.change_level(order.bid_micros, -order.remaining)
    del market_state.orders[order.order_id], market_state.open_by_user[order.user_id][order.order_id]
