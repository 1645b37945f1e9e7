"""Durable trades/s on one hot market: group commit through order_service's gRPC, beside the optimistic rival.

Both make the same trade (one Point at the market, against the pool), write the same rows to the same PostgreSQL
server, and count a trade when its commit was answered.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvloop

from bench import exchange, optimistic, servers
from bench.exchange import Exchange
from bench.optimistic import AMOUNT_MICROS, Tally
from bench.report import Arm, BenchError, Section, together
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.grpc_client import call_metadata, open_channel

BATCH = 100
BATCHES_IN_FLIGHT = 8
UNARY_IN_FLIGHT = (1, 16, 128)
STREAMS = 4
STREAM_WINDOW = 200
DEADLINE_SECONDS = 30
SLIPPAGE_ANY_BPS = 10_000
UNSPENT_MAX_MICROS = 2
"""Rounding of fee and shares; what is not needed stays with the user."""
OURS = (
    "ours, batches of 100",
    "ours, streams",
    *(f"ours, unary, {count} in flight" for count in UNARY_IN_FLIGHT),
)

Worker = Callable[[Exchange, order_pb2_grpc.OrderServiceStub, int, Tally, float], Coroutine[Any, Any, None]]


def section(quick: bool) -> Section:
    return Section(
        title="One hot market, durable",
        note=(
            "Trades of one Point, the same rows, the same PostgreSQL, fsync on. Ours: over gRPC, client and service on "
            f"the same cores; {BATCHES_IN_FLIGHT} batches or {STREAMS} streams of {STREAM_WINDOW} in flight."
        ),
        metrics=("trades/s", "p50 ms", "p99 ms", "retries", "service MiB", "buses behind s"),
        ours=OURS,
        arms=_arms(1.0 if quick else 5.0),
    )


@contextmanager
def _arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours:
        servers.make_database(ours.postgres, "rival")
        with optimistic.arms(ours.postgres.url_for("rival", "postgres"), seconds) as rivals:
            workers: list[tuple[Worker, int]] = [(trade_in_batches, BATCHES_IN_FLIGHT), (_stream, STREAMS)]
            workers += [(_unary, count) for count in UNARY_IN_FLIGHT]
            yield [
                *(
                    Arm(name, partial(_measure, ours, worker, count, seconds))
                    for name, (worker, count) in zip(OURS, workers, strict=True)
                ),
                *rivals,
            ]


def _measure(ours: Exchange, worker: Worker, count: int, seconds: float) -> Mapping[str, float]:
    figures = uvloop.run(_load(ours, worker, count, seconds))
    return {
        **figures,
        "service MiB": ours.service_mebibytes(),
        "buses behind s": ours.published_after_seconds(),
    }


async def _load(ours: Exchange, worker: Worker, count: int, seconds: float) -> Mapping[str, float]:
    async with open_channel(ours.address) as channel:
        stub = order_pb2_grpc.OrderServiceStub(channel)

        async def all_until(tally: Tally, end: float) -> None:
            await together([worker(ours, stub, number, tally, end) for number in range(count)])

        await all_until(Tally(), time.perf_counter() + seconds / 5)
        tally = Tally()
        started = time.perf_counter()
        await all_until(tally, started + seconds)
        return tally.figures(time.perf_counter() - started)


def _order(market_id: str, caller: int) -> order_pb2.PlaceOrderRequest:
    return order_pb2.PlaceOrderRequest(
        market_id=market_id,
        idempotency_key=str(uuid.uuid4()),
        side=common_pb2.SIDE_BUY,
        # One user always buys the same, as the rival's do: nothing is netted, and the price stays.
        outcome=common_pb2.OUTCOME_YES if caller % 2 else common_pb2.OUTCOME_NO,
        type=order_pb2.ORDER_TYPE_MARKET,
        amount_micros=AMOUNT_MICROS,
        max_slippage_bps=SLIPPAGE_ANY_BPS,
    )


def _check(order: common_pb2.Order) -> None:
    spent = order.cost_micros + order.fee_micros
    if order.status != "FILLED" or not AMOUNT_MICROS - UNSPENT_MAX_MICROS <= spent <= AMOUNT_MICROS:
        raise BenchError(f"an order was not filled: {order}")


def _check_result(result: order_pb2.CommandResult) -> None:
    if result.WhichOneof("result") != "order":
        raise BenchError(f"order_service answered {result.error.code}: {result.error.message}")
    _check(result.order)


def metadata_of(ours: Exchange, caller: int) -> list[tuple[str, str]]:
    """A call's headers: the token of one of the exchange's users."""
    return call_metadata(ours.issuer.authorization(ours.users[caller]))


def _callers(ours: Exchange, number: int) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Two users of this worker in turn, the one buying YES and the other NO."""
    first = 2 * number % len(ours.users)
    return itertools.cycle((caller, metadata_of(ours, caller)) for caller in (first, first + 1))


async def _unary(
    ours: Exchange, stub: order_pb2_grpc.OrderServiceStub, number: int, tally: Tally, end: float
) -> None:
    await trade_until(ours, stub, ours.market_id, number, tally, lambda: time.perf_counter() >= end)


async def trade_until(
    ours: Exchange,
    stub: order_pb2_grpc.OrderServiceStub,
    market_id: str,
    number: int,
    tally: Tally,
    is_over: Callable[[], bool],
) -> None:
    """One order after the other, each awaited."""
    callers = _callers(ours, number)
    while not is_over():
        caller, metadata = next(callers)
        started = time.perf_counter()
        await place_one(stub, market_id, caller, metadata)
        tally.seconds.append(time.perf_counter() - started)


async def place_one(
    stub: order_pb2_grpc.OrderServiceStub, market_id: str, caller: int, metadata: list[tuple[str, str]]
) -> None:
    """One market order, which must be filled."""
    answer = await stub.PlaceOrder(_order(market_id, caller), timeout=DEADLINE_SECONDS, metadata=metadata)
    _check(answer.order)


async def trade_in_batches(
    ours: Exchange, stub: order_pb2_grpc.OrderServiceStub, number: int, tally: Tally, end: float
) -> None:
    """A hundred orders in a call, one call after the other, on the hot market."""
    callers = _callers(ours, number)
    while time.perf_counter() < end:
        caller, metadata = next(callers)
        commands = [order_pb2.OrderCommand(place=_order(ours.market_id, caller)) for _ in range(BATCH)]
        request = order_pb2.SubmitCommandsRequest(commands=commands)
        started = time.perf_counter()
        answer = await stub.SubmitCommands(request, timeout=DEADLINE_SECONDS, metadata=metadata)
        elapsed = time.perf_counter() - started
        if len(answer.results) != BATCH:
            raise BenchError(f"{len(answer.results)} answers to a batch of {BATCH}")
        for result in answer.results:
            _check_result(result)
        tally.seconds.extend([elapsed] * BATCH)


async def _stream(
    ours: Exchange, stub: order_pb2_grpc.OrderServiceStub, number: int, tally: Tally, end: float
) -> None:
    sent: dict[int, float] = {}
    room = asyncio.Semaphore(STREAM_WINDOW)

    async def requests() -> AsyncIterator[order_pb2.TradeRequest]:
        for request_id in itertools.count(1):
            await room.acquire()
            if time.perf_counter() >= end:
                return
            sent[request_id] = time.perf_counter()
            yield order_pb2.TradeRequest(
                request_id=request_id, command=order_pb2.OrderCommand(place=_order(ours.market_id, number))
            )

    async for answer in stub.Trade(requests(), timeout=DEADLINE_SECONDS, metadata=metadata_of(ours, number)):
        tally.seconds.append(time.perf_counter() - sent.pop(answer.request_id))
        _check_result(answer.result)
        room.release()
    if sent:
        raise BenchError(f"{len(sent)} orders of a stream were not answered")
