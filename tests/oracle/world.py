"""One entry for every command: run it on a full copy, keep the copy only when nothing refused."""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle.model import Market, Refused, World
from tests.oracle.trading import Answer

Step = Callable[[World, Market], Answer]


def apply(world: World, market_id: str, step: Step) -> tuple[World, Answer | frozenset[str]]:
    """(the world afterwards, the answer), or (the same world, the fair refusal codes)."""
    trial = world.copy()
    market = trial.markets[market_id]
    market.seq += 1
    try:
        return trial, step(trial, market)
    except Refused as refused:
        return world, refused.codes
