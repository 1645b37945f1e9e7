"""Durable orders/s on one market: the engines' mixed load through order_service's gRPC, all rows written.

60% resting orders, 30% cancels, 10% orders that trade. Each user cancels its own resting orders, far from the price;
the crossing ones buy a Point's worth of YES and NO in turn.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvloop

from bench import exchange
from bench.exchange import Exchange
from bench.hot_market import BATCH, BATCHES_IN_FLIGHT, DEADLINE_SECONDS, STREAM_WINDOW, STREAMS, metadata_of
from bench.mixed_load import ADD_SHARE, CANCEL_SHARE
from bench.optimistic import AMOUNT_MICROS, Tally
from bench.report import Arm, BenchError, Section, together
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.grpc_client import open_channel

RESTING_CENTS = range(5, 41)
RESTING_MICROS = 1_000_000
OPEN_MAX = 150
"""Of one user; the engine refuses more than 200."""
UNARY_IN_FLIGHT = (1, 16, 128)

Worker = Callable[[Exchange, order_pb2_grpc.OrderServiceStub, int, Tally, float], Coroutine[Any, Any, None]]


class Trader:
    """One user's part of the load. What it cancels was acknowledged before."""

    def __init__(self, ours: Exchange, number: int) -> None:
        self._market_id = ours.market_id
        self._chance = random.Random(number)
        self._open: deque[str] = deque()
        self._resting = 0  # with those that were not answered yet
        self._outcomes = itertools.cycle((common_pb2.OUTCOME_YES, common_pb2.OUTCOME_NO))
        self.metadata = metadata_of(ours, number % len(ours.users))

    def command(self) -> order_pb2.OrderCommand:
        """The next step."""
        dice = self._chance.random()
        is_full = self._resting >= OPEN_MAX
        if dice >= ADD_SHARE + CANCEL_SHARE or (is_full and not self._open):
            return order_pb2.OrderCommand(place=self._order(order_pb2.ORDER_TYPE_MARKET))
        if self._open and (dice >= ADD_SHARE or is_full):
            self._resting -= 1
            cancel = order_pb2.CancelOrderRequest(market_id=self._market_id, order_id=self._open.popleft())
            return order_pb2.OrderCommand(cancel=cancel)
        self._resting += 1
        return order_pb2.OrderCommand(place=self._order(order_pb2.ORDER_TYPE_LIMIT))

    def check(self, command: order_pb2.OrderCommand, result: order_pb2.CommandResult) -> None:
        """The answer must be what this step does to any book. Raises BenchError."""
        if result.WhichOneof("result") != "order":
            raise BenchError(f"order_service answered {result.error.code}: {result.error.message}")
        wanted = "CANCELLED"
        if command.HasField("place"):
            rests = command.place.type == order_pb2.ORDER_TYPE_LIMIT
            wanted = "OPEN" if rests else "FILLED"
            if rests:
                self._open.append(result.order.order_id)
        if result.order.status != wanted:
            raise BenchError(f"an order is {result.order.status}, not {wanted}")

    def _order(self, kind: order_pb2.OrderType) -> order_pb2.PlaceOrderRequest:
        order = order_pb2.PlaceOrderRequest(
            market_id=self._market_id,
            idempotency_key=str(uuid.uuid4()),
            side=common_pb2.SIDE_BUY,
            outcome=next(self._outcomes),
            type=kind,
        )
        if kind == order_pb2.ORDER_TYPE_LIMIT:
            order.time_in_force = order_pb2.TIME_IN_FORCE_GTC
            order.price_micros = self._chance.choice(RESTING_CENTS) * 10_000
            order.quantity_micros = RESTING_MICROS
        else:
            order.amount_micros = AMOUNT_MICROS
            order.max_slippage_bps = 10_000
        return order


def section(quick: bool) -> Section:
    arms: list[tuple[str, Worker, int]] = [
        ("batches of 100", _batches, BATCHES_IN_FLIGHT),
        ("streams", _stream, STREAMS),
        *((f"unary, {count} in flight", _unary, count) for count in UNARY_IN_FLIGHT),
    ]
    return Section(
        title="Durable orders, one market",
        note=(
            "60% resting, 30% cancels, 10% trading, with idempotency keys; client and service share the cores; "
            f"{BATCHES_IN_FLIGHT} batches or {STREAMS} streams of {STREAM_WINDOW} in flight."
        ),
        metrics=("orders/s", "p50 ms", "p99 ms", "service MiB", "buses behind s"),
        ours=(),
        arms=_arms(arms, 1.0 if quick else 5.0),
    )


@contextmanager
def _arms(arms: Sequence[tuple[str, Worker, int]], seconds: float) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours:
        yield [Arm(name, partial(_measure, ours, worker, count, seconds)) for name, worker, count in arms]


def _measure(ours: Exchange, worker: Worker, count: int, seconds: float) -> Mapping[str, float]:
    figures = uvloop.run(_load(ours, worker, count, seconds))
    return {
        "orders/s": figures["trades/s"],
        "p50 ms": figures["p50 ms"],
        "p99 ms": figures["p99 ms"],
        "service MiB": ours.service_mebibytes(),
        "buses behind s": ours.published_after_seconds(),
    }


async def _load(ours: Exchange, worker: Worker, count: int, seconds: float) -> Mapping[str, float]:
    ours.market_id = await ours.open_market("Mixed?")
    async with open_channel(ours.address) as channel:
        stub = order_pb2_grpc.OrderServiceStub(channel)
        tally = Tally()
        started = time.perf_counter()
        await together([worker(ours, stub, number, tally, started + seconds) for number in range(count)])
        return tally.figures(time.perf_counter() - started)


async def _batches(
    ours: Exchange, stub: order_pb2_grpc.OrderServiceStub, number: int, tally: Tally, end: float
) -> None:
    # Several users in turn, so that none comes to its maximum of open orders.
    own = itertools.cycle([Trader(ours, user) for user in range(number, len(ours.users), BATCHES_IN_FLIGHT)])
    while time.perf_counter() < end:
        trader = next(own)
        commands = [trader.command() for _ in range(BATCH)]
        request = order_pb2.SubmitCommandsRequest(commands=commands)
        started = time.perf_counter()
        answer = await stub.SubmitCommands(request, timeout=DEADLINE_SECONDS, metadata=trader.metadata)
        elapsed = time.perf_counter() - started
        for command, result in zip(commands, answer.results, strict=True):
            trader.check(command, result)
        tally.seconds.extend([elapsed] * BATCH)


async def _stream(
    ours: Exchange, stub: order_pb2_grpc.OrderServiceStub, number: int, tally: Tally, end: float
) -> None:
    trader, sent = Trader(ours, number), deque[tuple[order_pb2.OrderCommand, float]]()
    room = asyncio.Semaphore(STREAM_WINDOW)

    async def requests() -> AsyncIterator[order_pb2.TradeRequest]:
        for request_id in itertools.count(1):
            await room.acquire()
            if time.perf_counter() >= end:
                return
            command = trader.command()
            sent.append((command, time.perf_counter()))
            yield order_pb2.TradeRequest(request_id=request_id, command=command)

    async for answer in stub.Trade(requests(), timeout=DEADLINE_SECONDS, metadata=trader.metadata):
        command, started = sent.popleft()
        tally.seconds.append(time.perf_counter() - started)
        trader.check(command, answer.result)
        room.release()
    if sent:
        raise BenchError(f"{len(sent)} commands of a stream were not answered")


async def _unary(
    ours: Exchange, stub: order_pb2_grpc.OrderServiceStub, number: int, tally: Tally, end: float
) -> None:
    trader = Trader(ours, number)
    while time.perf_counter() < end:
        command = trader.command()
        started = time.perf_counter()
        if command.HasField("place"):
            answer: Any = await stub.PlaceOrder(
                command.place, timeout=DEADLINE_SECONDS, metadata=trader.metadata
            )
        else:
            answer = await stub.CancelOrder(
                command.cancel, timeout=DEADLINE_SECONDS, metadata=trader.metadata
            )
        tally.seconds.append(time.perf_counter() - started)
        trader.check(command, order_pb2.CommandResult(order=answer.order))
