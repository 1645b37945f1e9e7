"""Field by field: the engine's live state and effects against the reference's."""

from __future__ import annotations

from typing import Any

from engine.events import Effects
from engine.state import MarketState, Outcome, ShardState
from tests.oracle.model import BUY, NO, YES, Market, Order, Position, World
from tests.oracle.pool import UNIT
from tests.oracle.trading import Answer


def same(what: str, engine: Any, reference: Any) -> None:
    assert engine == reference, f"{what}: engine {engine}, reference {reference}"


def compare_world(shard: ShardState, world: World) -> None:
    for user in world.points:
        account = shard.account(user)
        same(f"available of {user}", account.available, world.available(user))
        same(f"locked of {user}", account.locked, world.locked(user))
    for market_id, market in world.markets.items():
        compare_market(shard.markets[market_id], market)


def compare_market(state: MarketState, market: Market) -> None:
    own = state.market
    for field, value in {
        "status": market.status, "collateral": market.collateral, "pool_yes": market.yes, "pool_no": market.no,
        "vault": market.vault, "pending": market.pending, "treasury_yes": market.treasury_yes,
        "treasury_no": market.treasury_no, "treasury_points": market.treasury_points,
    }.items():  # fmt: skip
        same(field, getattr(own, field), value)
    for user in state.positions.keys() | market.positions.keys():
        compare_position(state, market, user)
    compare_orders(state, market)


def compare_position(state: MarketState, market: Market, user: str) -> None:
    position, known = market.positions.get(user, Position()), state.positions.get(user)
    expected = (
        position.yes, position.no, market.locked_shares(user, YES), market.locked_shares(user, NO),
        position.basis_yes, position.basis_no, position.realized,
    )  # fmt: skip
    same(
        f"position of {user}",
        (0,) * 7 if known is None else tuple(getattr(known, name) for name in known.FIELDS),
        expected,
    )


def compare_orders(state: MarketState, market: Market) -> None:
    for outcome in (YES, NO):
        bids = [order for order in market.orders if order.acquires == outcome]
        bids.sort(key=lambda order: (-order.bid, order.priority_seq))
        ladder = state.ladders[Outcome(outcome)]
        same(f"ladder {outcome}", [order.order_id for order in ladder], [order.order_id for order in bids])
        depth: dict[int, int] = {}
        for order in bids:
            depth[order.bid] = depth.get(order.bid, 0) + order.remaining
        same(f"levels {outcome}", ladder.levels, depth)
    for order in market.orders:
        own = state.orders[order.order_id]
        same(f"order {order.order_id}", figures(own), expected_figures(order))
        same("lock", own.locked_points, order.price * order.remaining // UNIT if order.side == BUY else 0)
        same("status", own.status, order.status)
        assert own.is_open
    users = {user for user, orders in state.open_by_user.items() if orders}
    same("users with open orders", users, {order.user for order in market.orders})
    for user in users:
        same(
            "open orders", set(state.open_by_user[user]), {order.order_id for order in market.orders_of(user)}
        )


def figures(order: Any) -> tuple[int, ...]:
    return (
        order.price_micros, order.quantity, order.filled, order.remaining, order.cancelled,
        order.cost, order.fee, order.netted, order.expires_at,
    )  # fmt: skip


def expected_figures(order: Order) -> tuple[int, ...]:
    return (
        order.price, order.quantity, order.filled, order.remaining, order.cancelled,
        order.cost, order.fee, order.netted, order.expires_at or 0,
    )  # fmt: skip


def compare_effects(effects: Effects, answer: Answer) -> None:
    """Fills in order, the kind of each trade, and every order the command changed, ended ones too."""
    for liquidity in ("TAKER", "MAKER"):
        got = [
            (
                f.order_id,
                effects.users[f.user],
                str(f.side),
                str(f.outcome),
                f.quantity,
                f.cost,
                f.fee,
                f.netted,
            )
            for f in effects.fills
            if f.taker == (liquidity == "TAKER")
        ]
        expected = [
            (f.order_id, f.user, f.side, f.outcome, f.quantity, f.cost, f.fee, f.netted)
            for f in answer.fills
            if f.liquidity == liquidity
        ]
        same(f"{liquidity} fills", got, expected)
    trades = [(trade.venue, trade.kind, trade.quantity) for trade in effects.trades]
    takers = [(fill.venue, fill.kind, fill.quantity) for fill in answer.fills if fill.liquidity == "TAKER"]
    same("trades", trades, takers)
    compare_prices(effects)
    rows = {row.order_id: row for row in effects.orders}
    for order in answer.touched.values():
        assert order.order_id in rows, f"the event lacks order {order.order_id}"
        row = rows[order.order_id]
        same(f"order row {order.order_id}", figures(row), expected_figures(order))
        same(f"status of {order.order_id}", row.status, order.status)
    same("orders in the event", rows.keys(), answer.touched.keys())


def compare_prices(effects: Effects) -> None:
    """A printed price is ceil for a BUY, floor for a SELL."""
    for fill in effects.fills:
        exact, rest = divmod(fill.cost * UNIT, fill.quantity)
        same("printed price", fill.price_micros, exact + (rest > 0 and fill.side == BUY))


def check_ledger(effects: Effects, granted: int = 0) -> None:
    """I-3 of one event: points, YES and NO of all accounts and the market's own parts sum to zero."""
    house = effects.house
    points = sum(row.available_delta + row.locked_delta for row in effects.accounts)
    points += house.collateral + house.vault + house.treasury_points + house.pending
    same("points of the event", points, granted)
    yes = sum(row.yes_delta for row in effects.accounts) + house.pool_yes + house.treasury_yes
    no = sum(row.no_delta for row in effects.accounts) + house.pool_no + house.treasury_no
    same("YES of the event", yes, house.collateral)
    same("NO of the event", no, house.collateral)
