"""Slippage: how much worse than expected a MARKET order may end, before fees, compared exactly in integers."""

from __future__ import annotations

from engine.refusals import Code, Refused
from engine.router import Router, printed_price
from engine.state import Market, Outcome, Side
from engine.units import BASIS_POINTS, MICROS, ceil_div

Ratio = tuple[int, int]
"""A price as numerator and denominator, points per share."""


def expected_price(market: Market, outcome: Outcome, stated_micros: int) -> Ratio:
    """What the order's own outcome is expected to cost: as stated, or the pool's exact price before the order."""
    if stated_micros:
        return stated_micros, MICROS
    reserves = market.reserves(outcome)
    return reserves.other, reserves.acquired + reserves.other


def slippage_bps(side: Side, points: int, shares: int, expected: Ratio) -> int:
    """The smallest max_slippage_bps that passes: BUY points <= shares x expected x (1 + bps), SELL the mirror."""
    scaled, base = points * expected[1] * BASIS_POINTS, shares * expected[0]
    if side is Side.BUY:
        return max(0, ceil_div(scaled, base) - BASIS_POINTS)
    return max(0, BASIS_POINTS - scaled // base)


def check_slippage(router: Router, expected: Ratio, max_slippage_bps: int) -> None:
    """Beyond the maximum the whole order is refused; the refusal carries the quote and the bps that would pass."""
    side = router.order.side
    points = router.cost if side is Side.BUY else router.output
    needed = slippage_bps(side, points, router.filled, expected)
    if needed > max_slippage_bps:
        raise Refused(
            Code.SLIPPAGE_EXCEEDED,
            f"The order would slip by {needed} bps; {max_slippage_bps} are allowed.",
            slippage_bps=needed,
            max_slippage_bps=max_slippage_bps,
            cost_micros=points,
            fee_micros=router.fee,
            quantity_micros=router.filled,
            average_price_micros=printed_price(side, points, router.filled),
        )
