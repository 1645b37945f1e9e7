"""Engine orders/s on the mixed load: ours, the naive list-and-sort book, and `lightmatchingengine` from PyPI.

Ours does more per order (pool, fees, positions, accounts, locks, undo, the event's effects); the others only match.
Each run of each arm is a fresh process, so that its memory is its own.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
from lightmatchingengine.lightmatchingengine import LightMatchingEngine
from lightmatchingengine.lightmatchingengine import Side as LightSide

from bench.mixed_load import Load, Step, make_load
from bench.report import Arm, BenchError, Section
from engine import commands
from engine.core import Applied, Engine
from engine.state import OrderType, Outcome, ShardState, Side, TimeInForce
from engine.units import MICROS, OPEN_ORDERS_MAX
from tests.oracle.naive_book import NaiveBook

MARKET_ID = "11111111-1111-4111-8111-111111111111"
BATCH = 100
"""Commands between two commits, where our engine forgets its undo log."""
CENT_MICROS = MICROS // 100
LOT_MICROS = 100
LIQUIDITY_MICROS = 10 * MICROS
START = 1_700_000_000_000_000
POINTS_MICROS = 10**12

Book = Callable[[Sequence[Step]], int]
"""Plays steps, returns the lots its crossing orders filled."""


def section(quick: bool) -> Section:
    resting, steps = (2_000, 4_000) if quick else (10_000, 40_000)
    return Section(
        title="Engine, one core, no I/O",
        note=(
            f"{steps:,} steps on a book of {resting:,} orders: 60% add, 30% cancel, 10% crossing. The naive book plays "
            "the first steps only. Ours also keeps pool, fees, positions, accounts, locks, undo log and event effects."
        ),
        metrics=("orders/s", "book MiB"),
        ours=("engine",),
        arms=_arms(resting, steps),
    )


@contextmanager
def _arms(resting: int, steps: int) -> Iterator[Sequence[Arm]]:
    def arm(name: str, competitor: Callable[[Load], Book], its_steps: int) -> Arm:
        return Arm(name, partial(_in_a_process, competitor, resting, its_steps))

    yield [
        arm("engine", _engine, steps),
        arm("naive list and sort", _naive, max(500, steps // 20)),
        arm("lightmatchingengine 2019.1.4", _light, steps),
    ]


def _in_a_process(competitor: Callable[[Load], Book], resting: int, steps: int) -> Mapping[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (competitor, resting, steps))


def _run(competitor: Callable[[Load], Book], resting: int, steps: int) -> Mapping[str, float]:
    load = make_load(resting=resting, steps=steps, seed=1)
    gc.collect()
    gc.freeze()
    process = psutil.Process()
    play = competitor(load)
    before = process.memory_info().rss
    play(load.prefill)
    grown = process.memory_info().rss - before
    started = time.perf_counter()
    crossed = play(load.steps)
    seconds = time.perf_counter() - started
    if crossed != load.crossed_lots:
        raise BenchError(f"crossing orders filled {crossed} lots, not {load.crossed_lots}")
    return {"orders/s": len(load.steps) / seconds, "book MiB": grown / 2**20}


def _engine(load: Load) -> Book:
    engine = _market(load)
    placed = {step.number: command for step in (*load.prefill, *load.steps) if (command := _place(step))}
    clock = iter(range(START + 10, START + 10**9))

    def play(steps: Sequence[Step]) -> int:
        crossed = 0
        for index, step in enumerate(steps):
            order = placed[step.number]
            command: commands.AnyCommand = order
            if step.kind == "CANCEL":
                command = commands.CancelOrder(
                    market_id=MARKET_ID, actor_id=order.actor_id, order_id=order.order_id
                )
            applied = engine.apply(command, now=next(clock))
            if not isinstance(applied, Applied):
                raise BenchError(f"{step}: {applied}")
            if step.kind == "CROSS":
                crossed += next(
                    after.filled for after in applied.effects.orders if after.order_id == order.order_id
                )
            if index % BATCH == 0:
                engine.committed()
        engine.committed()
        return crossed // LOT_MICROS

    return play


def _market(load: Load) -> Engine:
    """An active market with a small pool, so that crossing orders are filled by the book."""
    engine = Engine(ShardState())
    for user in {_user(step) for step in (*load.prefill, *load.steps)} | {commands.TREASURY_ID}:
        engine.state.account(user).available = POINTS_MICROS
    terms = commands.MarketTerms(question="Bench?", liquidity_micros=LIQUIDITY_MICROS)
    system: dict[str, Any] = {"market_id": MARKET_ID, "actor_id": commands.SYSTEM_ID}
    for command in (commands.CreateMarket(**system, terms=terms), commands.ActivateMarket(**system)):
        applied = engine.apply(command, now=START)
        if not isinstance(applied, Applied):
            raise BenchError(str(applied))
    engine.committed()
    return engine


def _user(step: Step) -> str:
    """Few enough orders each for the limit of open ones; takers are nobody's makers."""
    group = 1 if step.kind == "CROSS" else 2
    return f"{group:08d}-0000-4000-8000-{step.number // (OPEN_ORDERS_MAX // 2):012d}"


def _place(step: Step) -> commands.PlaceOrder | None:
    """A sale of YES is a bid for NO: nobody holds shares at the start."""
    if step.kind == "CANCEL":
        return None
    buys = step.side == "BUY"
    return commands.PlaceOrder(
        market_id=MARKET_ID,
        actor_id=_user(step),
        order_id=f"00000000-0000-4000-8001-{step.number:012d}",
        side=Side.BUY,
        outcome=Outcome.YES if buys else Outcome.NO,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC if step.kind == "CROSS" else TimeInForce.GTC,
        price_micros=(step.cents if buys else 100 - step.cents) * CENT_MICROS,
        quantity_micros=step.lots * LOT_MICROS,
    )


def _naive(load: Load) -> Book:
    ladders = {"BUY": NaiveBook(), "SELL": NaiveBook()}

    def bid(step: Step) -> int:
        return step.cents if step.side == "BUY" else 100 - step.cents

    def play(steps: Sequence[Step]) -> int:
        crossed = 0
        for step in steps:
            if step.kind == "ADD":
                ladders[step.side].add(str(step.number), bid(step), step.number, step.lots)
            elif step.kind == "CANCEL":
                ladders[step.side].set_quantity(str(step.number), 0)
            else:
                other = ladders["SELL" if step.side == "BUY" else "BUY"]
                crossed += sum(lots for _, lots in other.take(step.lots, 100 - bid(step)))
        return crossed

    return play


def _light(load: Load) -> Book:
    engine = LightMatchingEngine()
    ids: dict[int, int] = {}
    sides = {"BUY": LightSide.BUY, "SELL": LightSide.SELL}

    def play(steps: Sequence[Step]) -> int:
        crossed = 0
        for step in steps:
            if step.kind == "CANCEL":
                if engine.cancel_order(ids[step.number], "market") is None:
                    raise BenchError(f"lightmatchingengine: {step} found no order")
                continue
            order, _ = engine.add_order("market", step.cents, step.lots, sides[step.side])
            ids[step.number] = order.order_id
            if step.kind == "CROSS":
                crossed += order.cum_qty
        return crossed

    return play
