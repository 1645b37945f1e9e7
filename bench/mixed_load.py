"""The mixed load of the engines: 60% add, 30% cancel, 10% crossing; the same steps for every competitor.

Prices are YES cents. Adds near the middle are only ever taken, adds far from it only ever cancelled, so that each step
means the same to every book, and the outcome of each is known beforehand.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

ADD_SHARE, CANCEL_SHARE = 0.6, 0.3
NEAR_SHARE = 0.34
"""Of the adds; a crossing order takes two of them, so the book neither dries up nor swells."""
NEAR_CENTS: Final = {"BUY": range(45, 50), "SELL": range(51, 56)}
FAR_CENTS: Final = {"BUY": range(5, 45), "SELL": range(56, 96)}
CROSSING_CENTS: Final = {"BUY": 55, "SELL": 45}
RESTING_LOTS, CROSSING_LOTS = 100, 200
"""A lot is 0.0001 share at a tick of one cent: resting orders are a hundredth of a share."""

Side = Literal["BUY", "SELL"]


@dataclass(frozen=True, slots=True)
class Step:
    """ADD and CROSS have a side and a price; CANCEL names the number of an earlier ADD."""

    kind: Literal["ADD", "CANCEL", "CROSS"]
    number: int
    side: Side
    cents: int
    lots: int


@dataclass(frozen=True, slots=True)
class Load:
    """`prefill` is not measured. `crossed_lots`: what the crossing orders must fill."""

    prefill: list[Step]
    steps: list[Step]
    crossed_lots: int


def make_load(*, resting: int, steps: int, seed: int) -> Load:
    """A book of `resting` orders, then the steps."""
    chance = random.Random(seed)
    far: list[Step] = []
    near_lots = {"BUY": 0, "SELL": 0}

    def add(number: int) -> Step:
        side: Side = chance.choice(("BUY", "SELL"))
        near = chance.random() < NEAR_SHARE
        cents = chance.choice((NEAR_CENTS if near else FAR_CENTS)[side])
        step = Step("ADD", number, side, cents, RESTING_LOTS)
        if near:
            near_lots[side] += RESTING_LOTS
        else:
            far.append(step)
        return step

    prefill = [add(number) for number in range(resting)]
    made: list[Step] = []
    for number in range(resting, resting + steps):
        dice = chance.random()
        side: Side = "BUY" if near_lots["SELL"] >= near_lots["BUY"] else "SELL"
        other: Side = "SELL" if side == "BUY" else "BUY"
        if dice < ADD_SHARE:
            made.append(add(number))
        elif dice < ADD_SHARE + CANCEL_SHARE and far:
            place = chance.randrange(len(far))
            far[place], far[-1] = far[-1], far[place]
            gone = far.pop()
            made.append(Step("CANCEL", gone.number, gone.side, gone.cents, gone.lots))
        elif near_lots[other] >= CROSSING_LOTS:
            near_lots[other] -= CROSSING_LOTS
            made.append(Step("CROSS", number, side, CROSSING_CENTS[side], CROSSING_LOTS))
        else:
            made.append(add(number))
    return Load(prefill, made, sum(step.lots for step in made if step.kind == "CROSS"))
