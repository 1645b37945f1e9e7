"""Open loop: orders leave at fixed times whether or not earlier ones were answered, as independent users do.

The latency counts from the time an order was due, so a stall is charged to everybody it delayed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import uvloop

from bench import exchange, hot_market
from bench.exchange import Exchange
from bench.optimistic import Tally
from bench.report import Arm, Section, together
from predmarket.order.v1 import order_pb2_grpc
from runtime.grpc_client import open_channel

RATES_PER_SECOND = (100, 1_000)


def section(quick: bool) -> Section:
    return Section(
        title="Open loop, gRPC unary",
        note="Market orders of one Point on one market, each sent when it is due; latency from then.",
        metrics=("p99 ms", "p50 ms", "orders/s", "buses behind s"),
        ours=(),
        arms=_arms(1.0 if quick else 5.0),
    )


@contextmanager
def _arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours:
        yield [Arm(f"{rate:,}/s", partial(_measure, ours, rate, seconds)) for rate in RATES_PER_SECOND]


def _measure(ours: Exchange, rate: int, seconds: float) -> Mapping[str, float]:
    figures = uvloop.run(_load(ours, rate, seconds))
    return {**figures, "buses behind s": ours.published_after_seconds()}


async def _load(ours: Exchange, rate: int, seconds: float) -> Mapping[str, float]:
    async with open_channel(ours.address) as channel:
        stub = order_pb2_grpc.OrderServiceStub(channel)
        await send(ours, stub, rate, 1.0, Tally())
        tally = Tally()
        elapsed = await send(ours, stub, rate, seconds, tally)
    figures = tally.figures(elapsed)
    return {"p99 ms": figures["p99 ms"], "p50 ms": figures["p50 ms"], "orders/s": figures["trades/s"]}


async def send(
    ours: Exchange, stub: order_pb2_grpc.OrderServiceStub, rate: int, seconds: float, tally: Tally
) -> float:
    """Orders of all users in turn, each when it is due. Seconds until the last answer."""
    metadata = [hot_market.metadata_of(ours, caller) for caller in range(len(ours.users))]
    started = time.perf_counter()

    async def one(number: int) -> None:
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        caller = number % len(ours.users)
        await hot_market.place_one(stub, ours.market_id, caller, metadata[caller])
        tally.seconds.append(time.perf_counter() - due)

    await together([one(number) for number in range(round(rate * seconds))])
    return time.perf_counter() - started
