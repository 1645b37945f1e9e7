"""Genesis, pauses, settlement and grants of the reference. A settlement is done whole, not in steps."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from tests.oracle.model import NO, TREASURY, YES, Market, Position, Refused, World, require
from tests.oracle.pool import UNIT
from tests.oracle.trading import Answer, end_orders


def activate(world: World, now: int, market: Market) -> Answer:
    """Genesis: the larger reserve is the liquidity, the other its proportion; the treasury owns the rest."""
    require(MARKET_NOT_ACTIVE=market.status != "DRAFT", INVALID_ARGUMENT=market.status != "DRAFT")
    require(MARKET_CLOSED=now >= market.closes_at, INVALID_ARGUMENT=now >= market.closes_at)
    liquidity, p_yes = market.liquidity, market.initial_probability
    p_small, p_large = min(p_yes, UNIT - p_yes), max(p_yes, UNIT - p_yes)
    smaller = floor(Fraction(liquidity * p_small, p_large))
    require(INVALID_ARGUMENT=smaller < 1_000 * market.lot, AMOUNT_TOO_SMALL=smaller < 1_000 * market.lot)
    short = world.available(TREASURY) < liquidity
    require(INSUFFICIENT_FUNDS=short, TREASURY_SHORTFALL=short)
    world.pay(TREASURY, -liquidity)
    market.collateral = liquidity
    if p_yes >= UNIT - p_yes:
        market.yes, market.no, market.treasury_yes = smaller, liquidity, liquidity - smaller
    else:
        market.yes, market.no, market.treasury_no = liquidity, smaller, liquidity - smaller
    market.genesis_product = market.yes * market.no
    market.status = "ACTIVE"
    return Answer()


def pause(market: Market, reason: str) -> Answer:
    require(MARKET_NOT_ACTIVE=market.status != "ACTIVE", INVALID_ARGUMENT=market.status != "ACTIVE")
    market.status, market.reason = "PAUSED", reason
    return Answer()


def close(market: Market) -> Answer:
    """What the job does at closes_at, also to a market that is paused: pause, and release every order."""
    if (market.status, market.reason) == ("PAUSED", "CLOSED") or market.status not in ("ACTIVE", "PAUSED"):
        raise Refused("MARKET_NOT_ACTIVE")
    market.status, market.reason = "PAUSED", "CLOSED"
    return end_orders(market, list(market.orders), "CANCELLED", "MARKET_CLOSED")


def resume(now: int, market: Market) -> Answer:
    require(MARKET_NOT_ACTIVE=market.status != "PAUSED", INVALID_ARGUMENT=market.status != "PAUSED")
    require(MARKET_CLOSED=now >= market.closes_at, INVALID_ARGUMENT=now >= market.closes_at)
    market.status, market.reason = "ACTIVE", ""
    return Answer()


def check_actor(market: Market, actor: str) -> None:
    position = market.positions.get(actor, Position())
    holds = position.yes > 0 or position.no > 0 or bool(market.orders_of(actor))
    require(CONFLICT_OF_INTEREST=holds)


def resolve(world: World, market: Market, actor: str, outcome: str) -> Answer:
    """A point per winning share, or floor((yes + no) / 2) per holder; the treasury has the rest."""
    legal = market.status in ("ACTIVE", "PAUSED")
    require(MARKET_NOT_ACTIVE=not legal, INVALID_ARGUMENT=not legal)
    check_actor(market, actor)
    payouts = {user: resolution_payout(position, outcome) for user, position in market.positions.items()}
    market.status, market.outcome = "RESOLVED", outcome
    return settle(world, market, payouts, 0)


def resolution_payout(position: Position, outcome: str) -> int:
    if outcome == YES:
        return position.yes
    if outcome == NO:
        return position.no
    return (position.yes + position.no) // 2


def cancel_market(world: World, market: Market, actor: str, pro_rata: bool) -> Answer:
    """Everybody gets the cost basis back, through the waterfall; short of it, nothing or pro rata."""
    legal = market.status in ("DRAFT", "ACTIVE", "PAUSED")
    require(MARKET_NOT_ACTIVE=not legal, INVALID_ARGUMENT=not legal)
    check_actor(market, actor)
    owed = {user: p.basis_yes + p.basis_no for user, p in market.positions.items()}
    owed_all = sum(owed.values())
    in_market = market.collateral + market.pending + market.vault + market.treasury_points
    backing = min(market.liquidity, max(0, world.available(TREASURY))) if market.status != "DRAFT" else 0
    available = in_market + backing
    if owed_all > available:
        if not pro_rata:
            raise Refused("TREASURY_SHORTFALL")
        owed = {user: floor(Fraction(basis * available, owed_all)) for user, basis in owed.items()}
        market.shortfall = owed_all - sum(owed.values())
    market.status = "CANCELLED"
    return settle(world, market, owed, max(0, sum(owed.values()) - in_market))


def settle(world: World, market: Market, payouts: dict[str, int], from_treasury: int) -> Answer:
    """Release the orders, pay each holder, and give what is left to the treasury."""
    answer = end_orders(market, list(market.orders), "CANCELLED", "MARKET_SETTLED")
    in_market = market.collateral + market.pending + market.vault + market.treasury_points
    world.pay(TREASURY, in_market - sum(payouts.values()))
    assert in_market - sum(payouts.values()) >= -from_treasury
    for user, payout in payouts.items():
        position = market.position(user)
        world.pay(user, payout)
        position.realized += payout - position.basis_yes - position.basis_no
        position.yes = position.no = position.basis_yes = position.basis_no = 0
    market.yes = market.no = market.collateral = 0
    market.vault = market.pending = 0
    market.treasury_yes = market.treasury_no = market.treasury_points = 0
    return answer


def grant(world: World, user: str, amount: int) -> Answer:
    require(
        INSUFFICIENT_FUNDS=world.available(user) + amount < 0,
        GRANTS_EXHAUSTED=world.granted + amount > 9 * 10**15,
    )
    world.pay(user, amount)
    world.granted += amount
    return Answer()


def sweep(world: World, market: Market) -> Answer:
    """Fee revenue and the treasury's merged points go from a market to the treasury's account."""
    require(AMOUNT_TOO_SMALL=market.vault + market.treasury_points == 0)
    world.pay(TREASURY, market.vault + market.treasury_points)
    market.vault = market.treasury_points = 0
    return Answer()
