"""The load of the REST sections: as little work per order as a process can do, so that the cores are the engine's.

Raw HTTP/1.1 connections that are kept alive, requests made of prepared bytes, answers looked at only as far as they
must be. Every order is a market BUY of one Point under a `client_order_id` of its own; an answer that is not 201, or an
order that was not filled, ends the bench.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any, cast

import uvloop

from bench.report import BenchError

AMOUNT_MICROS = 1_000_000
SLIPPAGE_ANY_BPS = 10_000
ANSWER_SECONDS_MAX = 30.0
OPEN_LOOP_CONNECTIONS = 256
NUMBER_DIGITS = 10

Work = Callable[..., Coroutine[Any, Any, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the orders go, and whose they are: one `Authorization` header per user."""

    port: int
    market_id: str
    authorizations: Sequence[str]


def closed_loop(target: Target, in_flight: int, seconds: float) -> Mapping[str, float]:
    """So many connections, each with one order under way at any time."""
    return _in_a_process(_closed_loop, target, in_flight, seconds)


def open_loop(target: Target, rate: int, seconds: float) -> Mapping[str, float]:
    """Orders leave when they are due, whether or not earlier ones were answered; latency counts from then."""
    return _in_a_process(_open_loop, target, rate, seconds)


class Requests:
    """The bytes of one user's orders; the users with an even number buy YES, the others NO."""

    def __init__(self, target: Target, number: int) -> None:
        caller = number % len(target.authorizations)
        run = secrets.token_hex(6)
        order = {
            "market_id": target.market_id,
            "side": "BUY",
            # One user always buys the same: nothing is netted, and the price stays.
            "outcome": "NO" if caller % 2 else "YES",
            "type": "MARKET",
            "amount_micros": AMOUNT_MICROS,
            "max_slippage_bps": SLIPPAGE_ANY_BPS,
            "client_order_id": f"{run}-{0:0{NUMBER_DIGITS}d}",
        }
        body = json.dumps(order, separators=(",", ":")).encode()
        head = (
            f"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
            f"Authorization: {target.authorizations[caller]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._before = head.encode() + body[: -NUMBER_DIGITS - 2]
        self._numbers = itertools.count()

    def next(self) -> bytes:
        """Never the same twice."""
        return b'%s%010d"}' % (self._before, next(self._numbers))


class Connection(asyncio.Protocol):
    """One order at a time. `answered(self)` is called after each good answer, `failed` once when there is a bad one."""

    def __init__(
        self,
        requests: Requests,
        answered: Callable[[Connection], None],
        failed: Callable[[BenchError], None],
    ) -> None:
        self.due = 0.0
        self.is_closing = False
        self._requests = requests
        self._answered = answered
        self._failed = failed
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, due: float) -> None:
        """The next order; its latency counts from `due`."""
        assert self._transport is not None
        self.due = due
        self._transport.write(self._requests.next())

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if not _is_whole(received):
            self._received = received
            return
        self._received = b""
        if not received.startswith(b"HTTP/1.1 201 ") or b'"status":"FILLED"' not in received:
            self._failed(BenchError(f"the gateway answered {received[:2_000].decode(errors='replace')}"))
            return
        self._answered(self)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.is_closing:
            self._failed(BenchError("the gateway closed a connection"))

    def close(self) -> None:
        self.is_closing = True
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class Load:
    """One measurement: its connections, and the latencies of what was answered since `tally` was emptied."""

    target: Target
    again: bool
    """Whether an answered connection sends its next order at once."""
    tally: list[float] = field(default_factory=list)
    free: list[Connection] = field(default_factory=list)
    late: deque[float] = field(default_factory=deque)
    """When orders were due that found no free connection."""
    under_way: int = 0
    failure: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def open(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for number in range(count):
            requests = Requests(self.target, number)
            _, connection = await loop.create_connection(
                lambda requests=requests: Connection(requests, self._answered, self._fail),  # type: ignore[misc]
                "127.0.0.1",
                self.target.port,
            )
            self.free.append(connection)

    def send(self, due: float) -> None:
        """On a free connection, or on the next that becomes free."""
        if self.free:
            self.under_way += 1
            self.free.pop().send(due)
        else:
            self.late.append(due)

    async def run(self, seconds: float) -> None:
        """Raises BenchError as soon as something fails."""
        await asyncio.wait((self.failure,), timeout=seconds)
        if self.failure.done():
            self.failure.result()

    async def drain(self) -> None:
        """Until everything under way is answered."""
        self.again = False
        give_up_at = time.perf_counter() + ANSWER_SECONDS_MAX
        while self.under_way or self.late:
            if time.perf_counter() > give_up_at:
                raise BenchError(f"{self.under_way} orders were not answered in {ANSWER_SECONDS_MAX} s")
            await self.run(0.001)

    def close(self) -> None:
        for connection in self.free:
            connection.close()

    def _answered(self, connection: Connection) -> None:
        now = time.perf_counter()
        self.tally.append(now - connection.due)
        if self.again:
            connection.send(now)
        elif self.late:
            connection.send(self.late.popleft())
        else:
            self.under_way -= 1
            self.free.append(connection)

    def _fail(self, error: BenchError) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)


async def _closed_loop(target: Target, in_flight: int, seconds: float) -> Mapping[str, float]:
    load = Load(target, again=True)
    await load.open(in_flight)
    for _ in range(in_flight):
        load.send(time.perf_counter())
    await load.run(seconds / 5)
    load.tally.clear()
    started, cpu = time.perf_counter(), time.process_time()
    await load.run(seconds)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    figures = _figures(load.tally, elapsed, cpu)
    await load.drain()
    load.close()
    return figures


async def _open_loop(target: Target, rate: int, seconds: float) -> Mapping[str, float]:
    load = Load(target, again=False)
    await load.open(OPEN_LOOP_CONNECTIONS)
    await _send_when_due(load, rate, 1.0)
    load.tally.clear()
    started, cpu = time.perf_counter(), time.process_time()
    await _send_when_due(load, rate, seconds)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    figures = _figures(load.tally, elapsed, cpu)
    load.close()
    return figures


async def _send_when_due(load: Load, rate: int, seconds: float) -> None:
    started = time.perf_counter()
    for number in range(round(rate * seconds)):
        due = started + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await load.run(wait)
        load.send(due)
    await load.drain()


def _figures(tally: Sequence[float], elapsed: float, cpu: float) -> Mapping[str, float]:
    if len(tally) < 2:
        raise BenchError("fewer than two orders were answered")
    cuts = quantiles(tally, n=100)
    return {
        "orders/s": len(tally) / elapsed,
        "p50 ms": cuts[49] * 1e3,
        "p99 ms": cuts[98] * 1e3,
        "load CPU %": 100 * cpu / elapsed,
    }


def _is_whole(received: bytes) -> bool:
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    at = received.find(b"Content-Length: ", 0, head_end)
    if at < 0:
        raise BenchError("the gateway's answer has no Content-Length")
    length = int(received[at + 16 : received.find(b"\r\n", at)])
    return len(received) >= head_end + 4 + length


def _in_a_process(work: Work, *arguments: object) -> Mapping[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (work, *arguments))


def _run(work: Work, *arguments: object) -> Mapping[str, float]:
    return uvloop.run(work(*arguments))
