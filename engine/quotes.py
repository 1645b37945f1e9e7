"""The figures of an order from its effects: what a dry run, a quote and an execution are told by alike."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from engine.events import Effects, Fill
from engine.replay import market_values
from engine.router import printed_price
from engine.slippage import expected_price, slippage_bps
from engine.state import Market, Outcome, Side


@dataclass(frozen=True, slots=True)
class Figures:
    """One order's fills in sums (micros); prices and costs in its own outcome."""

    cost: int
    """BUY: paid before the fee. SELL: received before the fee."""
    fee: int
    quantity: int
    netted: int
    average_price: int
    probability_before: int
    probability_after: int
    slippage_bps: int
    resting: int
    side: Side

    @property
    def total(self) -> int:
        """BUY: cost and fee; what leaves the account before netted points come in."""
        return self.cost + self.fee if self.side is Side.BUY else 0

    @property
    def proceeds(self) -> int:
        """SELL: what is received after the fee."""
        return 0 if self.side is Side.BUY else self.cost - self.fee

    @property
    def payout(self) -> int:
        """BUY: what the shares that are kept pay if they win."""
        return self.quantity - self.netted if self.side is Side.BUY else 0


@dataclass(frozen=True, slots=True)
class Leg:
    """Neighbouring fills of a taker by one venue at one price."""

    venue: str
    price: int
    quantity: int
    cost: int
    fee: int
    netted: int
    makers: int


def figures_of(
    effects: Effects, order_id: str, *, side: Side, outcome: Outcome, before: Market, stated_micros: int = 0
) -> Figures:
    """The order's part in these effects; `before`: the market as it was, `stated_micros`: the price expected, or 0."""
    fills = [fill for fill in effects.fills if fill.order_id == order_id]
    cost, quantity = sum(fill.cost for fill in fills), sum(fill.quantity for fill in fills)
    expected = expected_price(before, outcome, stated_micros)
    return Figures(
        cost=cost,
        fee=sum(fill.fee for fill in fills),
        quantity=quantity,
        netted=sum(fill.netted for fill in fills),
        average_price=printed_price(side, cost, quantity),
        probability_before=before.probability_micros,
        probability_after=_after(effects, before).probability_micros,
        slippage_bps=slippage_bps(side, cost, quantity, expected) if quantity else 0,
        resting=next((order.remaining for order in effects.orders if order.order_id == order_id), 0),
        side=side,
    )


def legs_of(effects: Effects, order_id: str) -> list[Leg]:
    """A taker's fill plan, in order."""
    legs: list[Leg] = []
    for fill in effects.fills:
        if fill.order_id != order_id:
            continue
        venue = effects.trades[fill.trade].venue
        last = legs[-1] if legs else None
        if last is not None and (last.venue, last.price) == (venue, fill.price_micros):
            legs[-1] = _joined(last, fill)
        else:
            legs.append(_leg(venue, fill))
    return legs


def _leg(venue: str, fill: Fill) -> Leg:
    makers = 1 if venue == "BOOK" else 0
    return Leg(venue, fill.price_micros, fill.quantity, fill.cost, fill.fee, fill.netted, makers)


def _joined(leg: Leg, fill: Fill) -> Leg:
    return replace(
        leg,
        quantity=leg.quantity + fill.quantity,
        cost=leg.cost + fill.cost,
        fee=leg.fee + fill.fee,
        netted=leg.netted + fill.netted,
        makers=leg.makers + (1 if leg.venue == "BOOK" else 0),
    )


def _after(effects: Effects, market: Market) -> Market:
    if effects.market is None:
        return market
    after = copy.copy(market)
    after.restore(market_values(effects.market, market))
    return after
