"""Durable orders by REST, every check of the gateway on: closed loop, open loop, and the memory of each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from bench import rest_load, suite
from bench.report import Arm, Section
from bench.rest_load import Target
from bench.suite import Suite

IN_FLIGHT = (1, 16, 128)
RATES_PER_SECOND = (100, 1_000)
OURS = tuple(f"{count} in flight" for count in IN_FLIGHT)


def section(quick: bool) -> Section:
    return Section(
        title="REST, durable",
        note=(
            "Market orders of one Point on one market, each a POST of its own with an API key and a client_order_id, "
            "checked and counted as every request is, answered after its commit; the load in a process of its own on "
            "the same cores."
        ),
        metrics=("orders/s", "p50 ms", "p99 ms", "load CPU %"),
        ours=OURS,
        arms=_arms(1.0 if quick else 5.0),
    )


def open_loop_section(quick: bool) -> Section:
    return Section(
        title="REST, open loop",
        note="The same orders, each sent when it is due; latency from then.",
        metrics=("p99 ms", "p50 ms", "orders/s", "load CPU %"),
        ours=(),
        arms=_open_loop_arms(1.0 if quick else 5.0),
    )


def memory_section(quick: bool) -> Section:
    return Section(
        title="Memory",
        note="Resident, after orders by REST at 128 in flight; PostgreSQL's processes together, shared pages once.",
        metrics=("MiB RSS",),
        ours=(),
        arms=_memory_arms(1.0 if quick else 5.0),
    )


@contextmanager
def _arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with suite.running() as ours:
        together, alone = _targets(ours)
        most = max(IN_FLIGHT)
        yield [
            *(
                Arm(name, partial(rest_load.closed_loop, together, count, seconds))
                for name, count in zip(OURS, IN_FLIGHT, strict=True)
            ),
            Arm(f"{most} in flight, each alone", partial(rest_load.closed_loop, alone, most, seconds)),
        ]


@contextmanager
def _open_loop_arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with suite.running() as ours:
        target, _ = _targets(ours)
        yield [
            Arm(f"{rate:,}/s", partial(rest_load.open_loop, target, rate, seconds))
            for rate in RATES_PER_SECOND
        ]


@contextmanager
def _memory_arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with suite.running() as ours:
        target, _ = _targets(ours)
        rest_load.closed_loop(target, max(IN_FLIGHT), seconds)
        yield [Arm(name, _of(ours, name)) for name in ours.mebibytes()]


def _of(ours: Suite, name: str) -> Callable[[], Mapping[str, float]]:
    return lambda: {"MiB RSS": ours.mebibytes()[name]}


def _targets(ours: Suite) -> tuple[Target, Target]:
    """The gateway as it is, and the one that sends each order alone."""
    return (
        Target(ours.port, ours.market_id, ours.authorizations),
        Target(ours.alone_port, ours.market_id, ours.authorizations),
    )
