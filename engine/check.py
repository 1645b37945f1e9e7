"""Every invariant of a market, checked from its state; for tests, simulations and `verify`."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

from engine import pool
from engine.state import Market, MarketState, MarketStatus, OrderType, Outcome, Side, TimeInForce
from engine.units import MICROS, points_for

_PARTS = (
    "collateral",
    "pool_yes",
    "pool_no",
    "vault",
    "treasury_yes",
    "treasury_no",
    "treasury_points",
    "pending",
)


def check(state: MarketState) -> list[str]:
    """The broken invariants in words; an empty list when all hold."""
    market = state.market
    broken = [f"I-5 {name} is negative" for name in _PARTS if getattr(market, name) < 0]
    broken += _positions(state)
    broken += _orders(state)
    if market.settled:
        broken += [f"I-15 {name} is left after settlement" for name in _PARTS if getattr(market, name)]
    elif market.status in (MarketStatus.ACTIVE, MarketStatus.PAUSED):
        broken += _shares(state)
        broken += _book(state)
    return broken


def _shares(state: MarketState) -> Iterator[str]:
    market = state.market
    yes = sum(p.yes for p in state.positions.values()) + market.pool_yes + market.treasury_yes
    no = sum(p.no for p in state.positions.values()) + market.pool_no + market.treasury_no
    if not yes == no == market.collateral:
        yield f"I-1 YES {yes}, NO {no}, collateral {market.collateral}"
    if not 0 < market.probability_micros < MICROS:
        yield "I-9 the probability is certain"
    if min(market.treasury_yes, market.treasury_no):
        yield "the treasury holds a pair"


def _positions(state: MarketState) -> Iterator[str]:
    for user, position in state.positions.items():
        if min(position.read()[:6]) < 0:
            yield f"I-5 {user} holds or locks less than nothing"
        for outcome in Outcome:
            if position.locked(outcome) > position.held(outcome):
                yield f"I-5 {user} locks more {outcome} than held"
            sells = sum(
                o.remaining
                for o in state.open_by_user.get(user, {}).values()
                if o.side is Side.SELL and o.outcome is outcome
            )
            if sells != position.locked(outcome):
                yield f"I-12 {user} locks {position.locked(outcome)} {outcome} for SELLs of {sells}"
            if position.basis(outcome) and not position.held(outcome):
                yield f"{user} has a basis of {outcome} and no shares"


def _orders(state: MarketState) -> Iterator[str]:
    lot = state.market.lot_micros
    for order in state.orders.values():
        if order.filled + order.remaining + order.cancelled != order.quantity:
            yield f"I-11 {order.order_id} does not add up"
        if order.type is not OrderType.LIMIT or order.time_in_force not in (TimeInForce.GTC, TimeInForce.GTD):
            yield f"{order.order_id} may not rest"
        if order.remaining <= 0 or order.remaining % lot:
            yield f"{order.order_id} rests with {order.remaining}"
        locks = points_for(order.price_micros, order.remaining) if order.side is Side.BUY else 0
        if order.locked_points != locks:
            yield f"I-12 {order.order_id} locks {order.locked_points}, not {locks}"


def _book(state: MarketState) -> Iterator[str]:
    bids = {}
    for outcome, ladder in state.ladders.items():
        levels: dict[int, int] = {}
        for order in ladder:
            levels[order.bid_micros] = levels.get(order.bid_micros, 0) + order.remaining
        if levels != ladder.levels:
            yield f"levels of {outcome} differ from its orders"
        best = ladder.best()
        bids[outcome] = best.bid_micros if best else 0
        if best and executable(state.market, outcome, best.bid_micros) > slack(state.market):
            yield f"I-10 the best bid for {outcome} is executable against the pool"
    if all(bids.values()) and sum(bids.values()) >= MICROS:
        yield "I-10 the book is crossed"


def executable(market: Market, outcome: Outcome, price_micros: int) -> int:
    """The shares of `outcome` the pool would still sell at or below a price."""
    reserves = market.reserves(outcome)
    return pool.shares_for(reserves, pool.cost_up_to_price(reserves, price_micros))


def slack(market: Market) -> int:
    """Two lots, grown as fees have deepened the pool: a gap of a lot deepens with it at the same price."""
    genesis = pool.genesis_of(market.liquidity_micros, market.initial_probability_micros)
    growth = isqrt(market.pool_yes * market.pool_no // (genesis.yes * genesis.no)) + 1
    return 2 * market.lot_micros * growth
