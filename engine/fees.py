"""Fees: one per command, on its sums; makers pay none."""

from __future__ import annotations

from engine.units import BASIS_POINTS, ceil_div


def buy_fee(opening_cost_micros: int, fee_bps: int) -> int:
    """Fee of a BUY whose opened part costs `opening_cost_micros`.

    The smallest gross G with G - ceil(G x bps) >= cost is ceil(cost x 10,000 / (10,000 - bps)); the fee is G - cost.
    """
    gross = ceil_div(opening_cost_micros * BASIS_POINTS, BASIS_POINTS - fee_bps)
    return gross - opening_cost_micros


def sell_fee(output_micros: int, fee_bps: int) -> int:
    """Fee of a SELL (or of nothing): ceil of the share of what comes out; never more than the output."""
    return ceil_div(output_micros * fee_bps, BASIS_POINTS)


def opening_budget(gross_micros: int, fee_bps: int) -> int:
    """The largest opening cost whose cost plus fee stays within `gross_micros`."""
    return gross_micros * (BASIS_POINTS - fee_bps) // BASIS_POINTS


def split(fee_micros: int) -> tuple[int, int]:
    """(vault part, pending part): half each, the odd micro to the vault."""
    pending = fee_micros // 2
    return fee_micros - pending, pending
