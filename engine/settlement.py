"""Settlement: a decision with its totals, then orders released and holders paid in bounded steps.

All payouts come out of the collateral: a cancellation first moves there what the waterfall has to give.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

from engine.commands import TREASURY_ID, CancelMarket, ExpireOrders, PayHolders, ReleaseOrders, ResolveMarket
from engine.guards import refuse_if
from engine.lifecycle import is_releasing, no_interest
from engine.refusals import Code
from engine.run import Run
from engine.state import Market, MarketState, MarketStatus, OrderStatus, Position, Verdict
from engine.units import STEP_MAX


class Totals(NamedTuple):
    """What a decision costs (micros)."""

    owed: int
    payable: int
    holders: int
    shortfall: int


def resolve(run: Run, command: ResolveMarket) -> None:
    """One point per winning share; AMBIGUOUS gives each holder floor((yes + no) / 2)."""
    _may_be_decided(run.market, (MarketStatus.ACTIVE, MarketStatus.PAUSED))
    _reason_is_free(command.reason)
    no_interest(run, command.actor_id)
    market = run.touch_market()
    market.closing_probability_micros = market.probability_micros
    market.status, market.outcome, market.reason = MarketStatus.RESOLVED, command.outcome, command.reason
    market.owed = market.payable = sum(payout_of(market, p) for p in run.market_state.positions.values())
    assert market.payable <= market.collateral, "a resolution never pays more than the collateral"


def cancel_market(run: Run, command: CancelMarket) -> None:
    """Each holder gets the cost basis of what is held, through the waterfall; short of it nothing, or pro rata."""
    _may_be_decided(run.market, (MarketStatus.DRAFT, MarketStatus.ACTIVE, MarketStatus.PAUSED))
    _reason_is_free(command.reason)
    no_interest(run, command.actor_id)
    opened = run.market.status is not MarketStatus.DRAFT
    market = run.touch_market()
    market.closing_probability_micros = market.probability_micros
    owed = sum(p.basis_yes + p.basis_no for p in run.market_state.positions.values())
    in_market = market.collateral + market.pending + market.vault + market.treasury_points
    backing = min(market.liquidity_micros, max(0, run.state.account(TREASURY_ID).available)) if opened else 0
    available = in_market + backing
    refuse_if(
        owed > available and not command.pro_rata,
        Code.TREASURY_SHORTFALL,
        f"Holders are owed {owed}; {available} are there. Ask for pro_rata to share them.",
        shortfall_micros=owed - available,
        owed_micros=owed,
        available_micros=available,
    )
    market.status, market.reason = MarketStatus.CANCELLED, command.reason
    market.owed, market.payable = owed, min(owed, available)
    _fill_collateral(run, market)


def _fill_collateral(run: Run, market: Market) -> None:
    """The waterfall: pending, vault, treasury points, then the treasury's account, as far as needed."""
    for source in ("pending", "vault", "treasury_points"):
        moved = min(getattr(market, source), max(0, market.payable - market.collateral))
        setattr(market, source, getattr(market, source) - moved)
        market.collateral += moved
    missing = max(0, market.payable - market.collateral)
    if missing:
        run.account(TREASURY_ID).available -= missing
        market.collateral += missing


def payout_of(market: Market, position: Position) -> int:
    """Points this holder gets of a decided market (micros, floor)."""
    if market.status is MarketStatus.CANCELLED:
        basis = position.basis_yes + position.basis_no
        return basis * market.payable // market.owed if market.owed else 0
    if market.outcome == Verdict.YES:
        return position.yes
    if market.outcome == Verdict.NO:
        return position.no
    return (position.yes + position.no) // 2


def expire(run: Run, command: ExpireOrders) -> None:
    """Orders whose time has come; cancels nothing of a market that is already releasing its orders."""
    _limit_in_range(command.limit)
    due = [o for o in run.market_state.orders.values() if o.expires_at and o.expires_at <= run.now]
    refuse_if(not due, Code.ORDER_NOT_FOUND, "No order is due.")
    for order in sorted(due, key=lambda o: o.priority_seq)[: run.at_most(command.limit)]:
        run.end_resting(order, OrderStatus.EXPIRED, "EXPIRED")


def release(run: Run, command: ReleaseOrders) -> None:
    _limit_in_range(command.limit)
    market = run.market
    refuse_if(
        not is_releasing(market), Code.MARKET_NOT_ACTIVE, "The orders of this market are not to be released."
    )
    ladders = run.market_state.ladders.values()  # in their order, which undo and replay keep
    orders = list(islice(chain.from_iterable(ladders), run.at_most(command.limit)))
    refuse_if(not orders, Code.ORDER_NOT_FOUND, "No order is open.")
    reason = "MARKET_CLOSED" if market.status is MarketStatus.PAUSED else "MARKET_SETTLED"
    for order in orders:
        run.end_resting(order, OrderStatus.CANCELLED, reason)


def pay_holders(run: Run, command: PayHolders) -> None:
    """Pay the next holders; a paid position is empty, so nobody is paid twice. The last step settles."""
    _limit_in_range(command.limit)
    market, state = run.market, run.market_state
    refuse_if(
        market.status not in (MarketStatus.RESOLVED, MarketStatus.CANCELLED)
        or market.settled
        or bool(state.orders),
        Code.MARKET_NOT_ACTIVE,
        "There is nobody to pay, or orders are still open.",
    )
    market = run.touch_market()
    most = run.at_most(command.limit)
    holders = list(islice(unpaid_holders(state), most + 1))
    for user_id in holders[:most]:
        _pay(run, market, user_id)
    if len(holders) <= most:
        _settle(run, market)


def unpaid_holders(state: MarketState) -> Iterator[str]:
    """Users who still hold shares (or their basis). Lazy: a step looks no further than it pays."""
    for position in state.positions.values():
        if position.yes or position.no or position.basis_yes or position.basis_no:
            yield position.user_id


def totals(state: MarketState, actual: Market) -> Totals:
    """What was decided, for the answer of resolve and cancel."""
    return Totals(
        actual.owed, actual.payable, sum(1 for _ in unpaid_holders(state)), actual.owed - actual.payable
    )


def _pay(run: Run, market: Market, user_id: str) -> None:
    position = run.position(user_id)
    points = payout_of(market, position)
    basis = position.basis_yes + position.basis_no
    run.paid.append((user_id, points, position.yes, position.no, basis))
    position.realized_pnl += points - basis
    position.yes = position.no = position.basis_yes = position.basis_no = 0
    run.account(user_id).available += points
    market.collateral -= points
    market.paid += points
    market.holders_paid += 1
    assert market.collateral >= 0, "a settlement never pays more than it has"


def _settle(run: Run, market: Market) -> None:
    """What is left belongs to the treasury; nothing stays in the market."""
    rest = market.collateral + market.pending + market.vault + market.treasury_points
    run.account(TREASURY_ID).available += rest
    market.collateral = market.pending = market.vault = market.treasury_points = 0
    market.pool_yes = market.pool_no = market.treasury_yes = market.treasury_no = 0
    market.settled = True


def _may_be_decided(market: Market, allowed: tuple[MarketStatus, ...]) -> None:
    refuse_if(
        market.status not in allowed,
        Code.MARKET_NOT_ACTIVE,
        f"A market that is {market.status} cannot be decided.",
        status=market.status,
    )


def _reason_is_free(reason: str) -> None:
    """DELETED marks a withdrawn DRAFT, which is hidden and never paid out."""
    refuse_if(reason == "DELETED", Code.INVALID_ARGUMENT, "This reason is reserved.", field="reason")


def _limit_in_range(limit: int) -> None:
    refuse_if(not 1 <= limit <= STEP_MAX, Code.INVALID_ARGUMENT, f"A step takes 1..{STEP_MAX}.")
