"""Rows of an event as the topics show them: amounts in micros, times in RFC 3339, ids as text; null: nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.commands import GrantPoints, MarketTerms
from engine.events import Event, Fill, HouseChange, MarketAfter
from engine.replay import assign
from engine.router import printed_price
from engine.state import Order, OrderType
from runtime.clock import to_rfc3339

_SHARES_AND_POINTS: Final = (
    "collateral",
    "pool_yes",
    "pool_no",
    "vault",
    "treasury_yes",
    "treasury_no",
    "treasury_points",
    "pending",
)


def trades(event: Event) -> list[dict[str, Any]]:
    """One row per match, with both sides; a trade with the pool has no maker."""
    users = event.effects.users
    takers: dict[int, Fill] = {}
    makers: dict[int, Fill] = {}
    for fill in event.effects.fills:
        (takers if fill.taker else makers)[fill.trade] = fill
    rows = []
    for index, trade in enumerate(event.effects.trades):
        taker, maker = takers[index], makers.get(index)
        rows.append(
            {
                "trade_index": index,
                "trade_id": event.trade_ids[index],
                "venue": trade.venue,
                "kind": trade.kind,
                "outcome": trade.outcome.value,
                "taker_side": trade.taker_side.value,
                "price_micros": trade.price_micros,
                "quantity_micros": trade.quantity,
                "cost_micros": taker.cost,
                "fee_micros": taker.fee,
                "taker_order_id": trade.order_id,
                "taker_user_id": users[taker.user],
                "maker_order_id": maker.order_id if maker else None,
                "maker_user_id": users[maker.user] if maker else None,
            }
        )
    return rows


def fills(event: Event) -> list[dict[str, Any]]:
    """One row per side of a match: what its order acquired or gave, in the order's own outcome."""
    return [
        {
            "fill_index": index,
            "trade_index": filled.fill.trade,
            "trade_id": filled.trade_id,
            "order_id": filled.fill.order_id,
            "user_id": filled.user_id,
            "venue": filled.trade.venue,
            "liquidity": "TAKER" if filled.fill.taker else "MAKER",
            "side": filled.fill.side.value,
            "outcome": filled.fill.outcome.value,
            "price_micros": filled.fill.price_micros,
            "quantity_micros": filled.fill.quantity,
            "cost_micros": filled.fill.cost,
            "fee_micros": filled.fill.fee,
            "netted_micros": filled.fill.netted,
        }
        for index, filled in enumerate(event.fills)
    ]


def orders(event: Event, known: Mapping[str, Order]) -> list[dict[str, Any]]:
    """Every order the event changed, as it stands after it. `known`: what never changes of each; it is written to."""
    rows = []
    for index, after in enumerate(event.effects.orders):
        order = known[after.order_id]
        assign(order, after, event)
        rows.append({"order_index": index, **_order(order)})
    return rows


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "client_order_id": order.client_order_id,
        "side": order.side.value,
        "outcome": order.outcome.value,
        "type": order.type.value,
        "time_in_force": order.time_in_force.value,
        "post_only": order.post_only,
        "self_trade": order.self_trade.value,
        "price_micros": order.price_micros if order.type is OrderType.LIMIT else None,
        "amount_micros": order.amount_micros or None,
        "quantity_micros": order.quantity,
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
        "priority_seq": order.priority_seq,
        "expires_at": time_or_none(order.expires_at),
        "created_at": to_rfc3339(order.created_at),
        "updated_at": to_rfc3339(order.updated_at),
    }


def market(after: MarketAfter) -> dict[str, Any]:
    """A market's lifecycle and money after the event."""
    return {
        "status": after.status,
        "reason": after.reason,
        "outcome": after.outcome or None,
        **{f"{name}_micros": getattr(after, name) for name in _SHARES_AND_POINTS},
        "volume_micros": after.volume,
        "last_price_micros": after.last_price_micros or None,
        "closing_probability_micros": after.closing_probability_micros or None,
        "owed_micros": after.owed,
        "payable_micros": after.payable,
        "paid_micros": after.paid,
        "holders_paid": after.holders_paid,
        "settled": after.settled,
    }


def terms(stated: MarketTerms) -> dict[str, Any]:
    return {
        "question": stated.question,
        "description": stated.description,
        "rules": stated.rules,
        "resolution_source": stated.resolution_source,
        "category": stated.category,
        "tick_micros": stated.tick_micros,
        "fee_bps": stated.fee_bps,
        "liquidity_micros": stated.liquidity_micros,
        "initial_probability_micros": stated.initial_probability_micros,
        "opens_at": time_or_none(stated.opens_at),
        "closes_at": time_or_none(stated.closes_at),
    }


def house(change: HouseChange) -> dict[str, int]:
    """How the market's own part changed: how the counter-account's ledger row is divided."""
    return {f"{name}_micros": getattr(change, name) for name in _SHARES_AND_POINTS}


def grant(command: GrantPoints) -> dict[str, Any]:
    return {
        "user_id": command.user_id,
        "grant": command.grant,
        "amount_micros": command.amount_micros,
        "reason": command.reason,
    }


def ledger(event: Event) -> list[dict[str, Any]]:
    """The rows of the trade ledger: of each user who gained or lost, then the market's (or issuance's) counter-row."""
    users = event.effects.users
    rows: list[dict[str, Any]] = []
    sums = (0, 0, 0)
    for change in event.effects.accounts:
        moved = (change.available_delta + change.locked_delta, change.yes_delta, change.no_delta)
        if any(moved):
            balance = change.available_after + change.locked_after
            rows.append(_ledger_row(len(rows), users[change.user], moved, balance))
            sums = (sums[0] + moved[0], sums[1] + moved[1], sums[2] + moved[2])
    if rows:
        rows.append(_ledger_row(len(rows), None, (-sums[0], -sums[1], -sums[2]), None))
    return rows


def _ledger_row(
    index: int, user_id: str | None, moved: tuple[int, int, int], balance: int | None
) -> dict[str, Any]:
    points, yes, no = moved
    return {
        "ledger_index": index,
        "user_id": user_id,
        "points_micros": points,
        "yes_micros": yes,
        "no_micros": no,
        "balance_after_micros": balance,
    }


def positions(event: Event) -> list[dict[str, Any]]:
    """Every position the event changed, as it stands after it."""
    users = event.effects.users
    return [
        {
            "position_index": index,
            "user_id": users[position.user],
            "yes_micros": position.yes,
            "no_micros": position.no,
            "locked_yes_micros": position.locked_yes,
            "locked_no_micros": position.locked_no,
            "cost_basis_yes_micros": position.basis_yes,
            "cost_basis_no_micros": position.basis_no,
            "realized_pnl_micros": position.realized_pnl,
        }
        for index, position in enumerate(event.effects.positions)
    ]


def payouts(event: Event) -> list[dict[str, Any]]:
    """Whom a settlement step paid, and for what."""
    users = event.effects.users
    return [
        {
            "payout_index": index,
            "user_id": users[payout.user],
            "points_micros": payout.points,
            "yes_micros": payout.yes,
            "no_micros": payout.no,
            "cost_basis_micros": payout.basis,
        }
        for index, payout in enumerate(event.effects.payouts)
    ]


def time_or_none(time_micros: int) -> str | None:
    return to_rfc3339(time_micros) if time_micros else None
