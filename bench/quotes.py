"""Quotes: latency of market_service, and what a replica of a market with many open orders costs in memory and to load.

The rival is the dry run of order_service, which asks the single writer itself.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import psutil
import uvloop

from bench import exchange, servers
from bench.exchange import DATABASE, Exchange
from bench.large_markets import ORDERS, ORDERS_QUICK, seed_orders
from bench.optimistic import Tally
from bench.report import Arm, BenchError, Section, together
from engine.units import MAKERS_MAX, MICROS
from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2, market_pb2_grpc
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError
from runtime.grpc_client import call, open_channel
from runtime.ports import free_port

IN_FLIGHT = 8
FIRST_SECONDS_MAX = 120.0

Ask = Callable[[grpc.aio.Channel], Coroutine[Any, Any, Any]]


@dataclass(slots=True)
class Reader:
    """A market_service as a child process."""

    ours: Exchange
    grpc_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def start(self) -> None:
        settings = {
            "DATABASE_URL": self.ours.postgres.url_for(DATABASE, "pm_market"),
            "NATS_URL": self.ours.nats.url,
            "JWKS_URL": self.ours.issuer.url,
            "GRPC_PORT": str(self.grpc_port),
            "OPS_PORT": str(free_port()),
            "INSTANCE": "market_service-1",
        }
        self.process = servers.start_service("market_service", settings, self.ours.log_path)

    def stop(self) -> None:
        if self.process is not None:
            servers.stop_service(self.process)
            self.process = None

    def mebibytes(self) -> float:
        """Resident memory."""
        assert self.process is not None
        resident: int = psutil.Process(self.process.pid).memory_info().rss
        return resident / 2**20


def section(quick: bool) -> Section:
    count = ORDERS_QUICK if quick else ORDERS
    return Section(
        title="Quotes",
        note=(
            f"{IN_FLIGHT} in flight, client and service share the cores. `first s`: from asking a fresh process, which "
            "then loads the market, until it answers. `service MiB`: of that process afterwards."
        ),
        metrics=("quotes/s", "p50 ms", "p99 ms", "first s", "service MiB"),
        ours=(),
        arms=_arms(count, 1.0 if quick else 5.0),
    )


@contextmanager
def _arms(count: int, seconds: float) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours:
        empty_id = asyncio.run(ours.open_market("Empty?"))
        ours.stop()
        asyncio.run(seed_orders(ours, count))
        ours.start()
        asyncio.run(ours.wait_ready())
        full_id, name = ours.market_id, f"{count:,} open orders"
        buy = partial(_buy, ours)
        yield [
            Arm(name, partial(_quotes, ours, buy(full_id), seconds)),
            Arm(f"{name}, with the curve", partial(_quotes, ours, buy(full_id, with_impact=True), seconds)),
            Arm(f"{name}, filling {MAKERS_MAX:,}", partial(_quotes, ours, _deep(ours, full_id), seconds)),
            Arm("no open orders", partial(_quotes, ours, buy(empty_id), seconds)),
            Arm(f"order_service's dry run, {name}", partial(_dry_runs, ours, full_id, seconds)),
        ]


def _quotes(ours: Exchange, ask: Ask, seconds: float) -> Mapping[str, float]:
    reader = Reader(ours)
    reader.start()
    try:
        started = time.perf_counter()
        figures = dict(uvloop.run(_load(reader.address, ask, seconds, started)))
        return {**figures, "service MiB": reader.mebibytes()}
    finally:
        reader.stop()


def _dry_runs(ours: Exchange, market_id: str, seconds: float) -> Mapping[str, float]:
    authorization = ours.issuer.authorization(ours.users[0])
    request = order_pb2.PlaceOrderRequest(
        market_id=market_id,
        side=common_pb2.SIDE_BUY,
        outcome=common_pb2.OUTCOME_YES,
        type=order_pb2.ORDER_TYPE_MARKET,
        amount_micros=MICROS,
        dry_run=True,
    )

    async def ask(channel: grpc.aio.Channel) -> None:
        await _answer(order_pb2_grpc.OrderServiceStub(channel).PlaceOrder, request, authorization)

    figures = dict(uvloop.run(_load(ours.address, ask, seconds, time.perf_counter())))
    del figures["first s"]
    return {**figures, "service MiB": ours.service_mebibytes()}


async def _load(address: str, ask: Ask, seconds: float, started: float) -> Mapping[str, float]:
    async with open_channel(address) as channel:
        await _first(channel, ask, started)
        first = time.perf_counter() - started
        tally, begun = Tally(), time.perf_counter()

        async def worker() -> None:
            while (now := time.perf_counter()) < begun + seconds:
                await ask(channel)
                tally.seconds.append(time.perf_counter() - now)

        await together([worker() for _ in range(IN_FLIGHT)])
        figures = tally.figures(time.perf_counter() - begun)
    return {
        "quotes/s": figures["trades/s"],
        "p50 ms": figures["p50 ms"],
        "p99 ms": figures["p99 ms"],
        "first s": first,
    }


async def _first(channel: grpc.aio.Channel, ask: Ask, started: float) -> None:
    """The process may still start, and its first quote loads the market."""
    while True:
        try:
            await ask(channel)
        except BenchError:
            if time.perf_counter() - started > FIRST_SECONDS_MAX:
                raise
            await asyncio.sleep(0.05)
        else:
            return


def _buy(ours: Exchange, market_id: str, *, with_impact: bool = False) -> Ask:
    """A Point's worth of YES."""
    return _asking(
        ours, _request(market_id, common_pb2.SIDE_BUY, amount_micros=MICROS, with_impact=with_impact)
    )


def _deep(ours: Exchange, market_id: str) -> Ask:
    """A limit order that somebody without a token sells: it takes as many resting bids as one order may."""
    wanted = _request(market_id, common_pb2.SIDE_SELL, quantity_micros=10**6 * MICROS)
    return _asking(ours, wanted, makers=MAKERS_MAX)


def _request(market_id: str, side: common_pb2.Side, **fields: Any) -> market_pb2.GetQuoteRequest:
    return market_pb2.GetQuoteRequest(
        market_id=market_id,
        side=side,
        outcome=common_pb2.OUTCOME_YES,
        type=market_pb2.QUOTE_TYPE_MARKET,
        **fields,
    )


def _asking(ours: Exchange, request: market_pb2.GetQuoteRequest, makers: int = 0) -> Ask:
    buys = request.side == common_pb2.SIDE_BUY
    authorization = ours.issuer.authorization(ours.users[0]) if buys else None

    async def ask(channel: grpc.aio.Channel) -> None:
        method = market_pb2_grpc.MarketServiceStub(channel).GetQuote
        answer: market_pb2.GetQuoteResponse = await _answer(method, request, authorization)
        if not answer.execution.quantity_micros or sum(leg.makers for leg in answer.legs) < makers:
            raise BenchError("a quote fills less than it must")

    return ask


async def _answer(method: Any, request: Any, authorization: str | None) -> Any:
    try:
        return await call(method, request, deadline_seconds=60, authorization=authorization)
    except ApiError as error:
        raise BenchError(f"{error.code}: {error.message}") from error
