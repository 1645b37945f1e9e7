"""Events to bus messages: pure, in the shapes that ws_service and the analysts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from engine.events import AccountChange, Event, MarketAfter
from engine.replay import assign
from engine.router import printed_price
from engine.state import Order, OrderType, Outcome
from engine.units import MICROS


@dataclass(frozen=True, slots=True)
class Message:
    """One publication; `message_id` is the same whenever the same thing is published again."""

    subject: str
    message_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class MarketFigures:
    """What the public may know of a market beside its levels, as an event left it. `last_price_micros` 0: no trade."""

    status: str
    pool_yes: int
    pool_no: int
    probability_micros: int
    last_price_micros: int
    collateral: int
    volume: int


def message(subject: str, message_id: str, content: Mapping[str, Any]) -> Message:
    return Message(subject, message_id, orjson.dumps(content))


def book(events: Sequence[Event], figures: MarketFigures) -> Message:
    """Consecutive events of one market in one message; later levels win."""
    first, last = events[0], events[-1]
    levels: dict[tuple[int, str], int] = {}
    for event in events:
        for level in event.effects.levels:
            yes = level.outcome is Outcome.YES
            price = level.bid_micros if yes else MICROS - level.bid_micros
            levels[price, "bid" if yes else "ask"] = level.quantity
    content = {
        "market_id": last.market_id,
        "epoch": last.epoch,
        "prev_seq": first.seq - 1,
        "seq": last.seq,
        "time": last.time,
        "levels": [[price, quantity, side] for (price, side), quantity in levels.items()],
        "pool": {"yes_micros": figures.pool_yes, "no_micros": figures.pool_no},
        "probability_micros": figures.probability_micros,
        "last_price_micros": figures.last_price_micros,
        "collateral_micros": figures.collateral,
        "volume_micros": figures.volume,
        "status": figures.status,
    }
    market_id = last.market_id
    return message(f"market.{market_id}.book", f"{market_id}:book:{first.seq - 1}:{last.seq}", content)


def trades(events: Sequence[Event], previous_seq: int) -> Message:
    """Consecutive events of one market that have trades in one message; `previous_seq`: the one before them."""
    first, last = events[0], events[-1]
    shapes = [
        {
            "trade_id": event.trade_ids[index],
            "market_id": event.market_id,
            "seq": event.seq,
            "venue": trade.venue,
            "kind": trade.kind,
            "outcome": trade.outcome.value,
            "taker_side": trade.taker_side.value,
            "price_micros": trade.price_micros,
            "quantity_micros": trade.quantity,
            "time": event.time,
        }
        for event in events
        for index, trade in enumerate(event.effects.trades)
    ]
    market_id = last.market_id
    content = {
        "market_id": market_id,
        "epoch": last.epoch,
        "prev_seq": previous_seq,
        "seq": last.seq,
        "trades": shapes,
    }
    return message(f"market.{market_id}.trade", f"{market_id}:trade:{first.seq}:{last.seq}", content)


def status(event: Event, after: MarketAfter, closes_at: int) -> Message:
    content = {
        "market_id": event.market_id,
        "seq": event.seq,
        "time": event.time,
        "status": after.status,
        "reason": after.reason,
        "outcome": after.outcome,
        "closes_at": closes_at,
    }
    return message(f"market.{event.market_id}.status", f"{event.market_id}:status:{event.seq}", content)


def users(event: Event, identities: Mapping[str, Order]) -> list[Message]:
    """One message per user with frames; `identities`: every order the event changed."""
    frames: dict[int, list[dict[str, Any]]] = {change.user: [] for change in event.effects.accounts}
    for after in event.effects.orders:
        order = identities[after.order_id]
        assign(order, after, event)
        frames.setdefault(after.user, []).append({"type": "user.order", **_order(order)})
    for filled in event.fills:
        frames.setdefault(filled.fill.user, []).append(_fill(event, filled))
    for position in event.effects.positions:
        frames.setdefault(position.user, []).append(
            {
                "type": "user.position",
                "market_id": event.market_id,
                "yes_micros": position.yes,
                "no_micros": position.no,
                "locked_yes_micros": position.locked_yes,
                "locked_no_micros": position.locked_no,
                "cost_basis_yes_micros": position.basis_yes,
                "cost_basis_no_micros": position.basis_no,
                "realized_pnl_micros": position.realized_pnl,
            }
        )
    messages = []
    for change in event.effects.accounts:
        if change.available_delta or change.locked_delta:
            frames[change.user].append(_balance(change))
        messages.append(_user(event, change, frames[change.user]))
    return [made for made in messages if made is not None]


def _user(event: Event, change: AccountChange, frames: Sequence[dict[str, Any]]) -> Message | None:
    if not change.frames:
        return None
    assert len(frames) == change.frames, "the engine counts the frames the same way"
    user_id = event.effects.users[change.user]
    first = change.user_seq - change.frames + 1
    numbered = [
        {**frame, "user_seq": first + index, "seq": event.seq, "time": event.time}
        for index, frame in enumerate(frames)
    ]
    content = {
        "user_id": user_id,
        "market_id": event.market_id,
        "seq": event.seq,
        "time": event.time,
        "user_seq": change.user_seq,
        "frames": numbered,
    }
    return message(f"user.{user_id}.events", f"{user_id}:{change.user_seq}", content)


def _balance(change: AccountChange) -> dict[str, Any]:
    return {
        "type": "user.balance",
        "available_micros": change.available_after,
        "locked_micros": change.locked_after,
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "market_id": order.market_id,
        "client_order_id": order.client_order_id,
        "side": order.side.value,
        "outcome": order.outcome.value,
        "order_type": order.type.value,
        "time_in_force": order.time_in_force.value,
        "price_micros": order.price_micros if order.type is OrderType.LIMIT else 0,
        "quantity_micros": order.quantity,
        "amount_micros": order.amount_micros,
        "filled_micros": order.filled,
        "remaining_micros": order.remaining,
        "cancelled_micros": order.cancelled,
        "cost_micros": order.cost,
        "fee_micros": order.fee,
        "netted_micros": order.netted,
        "locked_micros": order.locked_points,
        "average_price_micros": printed_price(order.side, order.cost, order.filled),
        "status": order.status.value,
        "reason": order.reason,
        "post_only": order.post_only,
        "self_trade": order.self_trade.value,
        "expires_at": order.expires_at,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
    }


def _fill(event: Event, filled: Any) -> dict[str, Any]:
    fill = filled.fill
    return {
        "type": "user.fill",
        "trade_id": filled.trade_id,
        "order_id": fill.order_id,
        "market_id": event.market_id,
        "venue": filled.trade.venue,
        "liquidity": "TAKER" if fill.taker else "MAKER",
        "side": fill.side.value,
        "outcome": fill.outcome.value,
        "price_micros": fill.price_micros,
        "quantity_micros": fill.quantity,
        "cost_micros": fill.cost,
        "fee_micros": fill.fee,
        "netted_micros": fill.netted,
    }
