"""Fan-out over WebSocket: one frame to 1,000, 5,000 and 10,000 sockets of one process, beside aiohttp's `send_str` loop
and the `websockets` library's broadcast, which send the very same text.

Ours is `python -m ws_service`, all limits on: a book message on the bus becomes a delta for every follower. A frame's
time is counted from its publication (the rivals': from the line that asks for it) to each client's receipt.
`python -m bench.fan_out --soak` watches the memory for five minutes, a tenth of the clients never reading.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any, Protocol

import grpc
import nats
import psutil
from nats.aio.client import Client as Bus

from bench import servers
from bench.exchange import STOP_SECONDS, Issuer
from bench.report import Arm, BenchError, Section
from bench.socket_load import Clients, Load
from launcher.embedded.process import die_with_parent
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.ports import free_port

COUNTS = (1_000, 5_000, 10_000)
FRAMES = 40
WARM_UP_FRAMES = 5
PAUSE_SECONDS = 0.1
FRAME_SECONDS = 20.0
READY_SECONDS = 30.0
IDLE_SHARE = 10
"""One in so many never reads."""
SOAK_SECONDS = 300.0
SOAK_COUNT = 2_000
SOAK_PAUSE_SECONDS = 0.2
SOAK_SHOWN_SECONDS = 15.0
SOAK_GROWTH_MAX = 1.05
LEVELS = 3
FILL_LEVELS = 900
FILL_FRAMES_MAX = 500
FILL_PAUSE_SECONDS = 0.06
METRICS = ("median ms", "p99 ms", "last ms", "KiB/connection")
MARKET_ID = "00000006-0000-4000-8000-000000000001"
FILL_MARKET_ID = "00000006-0000-4000-8000-000000000002"
REPOSITORY = Path(__file__).parents[1]


def _follow(*market_ids: str) -> str:
    return json.dumps({"cmd": "subscribe", "channel": "book", "market_ids": market_ids})


BOTH = _follow(MARKET_ID, FILL_MARKET_ID)


class Server(Protocol):
    """Something that sends a text to all its sockets."""

    port: int
    path: str
    hello: str
    process: subprocess.Popen[bytes]

    def send(self) -> tuple[int, float]:
        """One frame: its number, and when it was asked for."""
        ...


class Book(order_pb2_grpc.OrderServiceServicer, order_pb2_grpc.ShardServiceServicer):
    """The reads of an order_service: the book as it was published last."""

    def __init__(self) -> None:
        self.seqs = {MARKET_ID: 0, FILL_MARKET_ID: 0}
        self._server = grpc.server(ThreadPoolExecutor(2))
        order_pb2_grpc.add_OrderServiceServicer_to_server(self, self._server)
        order_pb2_grpc.add_ShardServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0)

    def GetBook(self, request: Any, context: Any) -> order_pb2.GetBookResponse:
        return order_pb2.GetBookResponse(
            market_id=request.market_id, epoch=1, seq=self.seqs[request.market_id], status="ACTIVE"
        )

    def GetMarket(self, request: Any, context: Any) -> order_pb2.GetMarketResponse:
        market = common_pb2.Market(
            market_id=request.market_id, seq=self.seqs[request.market_id], status="ACTIVE"
        )
        return order_pb2.GetMarketResponse(market=market)

    def ListShards(self, request: Any, context: Any) -> order_pb2.ListShardsResponse:
        shard = order_pb2.Shard(shard=0, owner="bench", address=self.address, epoch=1)
        return order_pb2.ListShardsResponse(shards=[shard], market_shard=0)


class Ours:
    """A new ws_service process, with a bus of its own."""

    path = "/ws/v1"
    hello = _follow(MARKET_ID)

    def __init__(self, stack: ExitStack) -> None:
        self.port = free_port()
        where = stack.enter_context(servers.folder())
        nats_url = stack.enter_context(servers.nats(where)).url
        redis_url = stack.enter_context(servers.redis(where)).url
        self._ops_port = free_port()
        self._issuer = Issuer()
        stack.callback(self._issuer.close)
        self._book = Book()
        stack.callback(self._book.stop)
        self._loop = stack.enter_context(asyncio.Runner())
        self._bus: Bus = self._loop.run(nats.connect(nats_url))
        stack.callback(lambda: self._loop.run(self._bus.close()))
        environment = {
            "NATS_URL": nats_url,
            "REDIS_URL": redis_url,
            "JWKS_URL": self._issuer.url,
            "ORDER_GRPC": self._book.address,
            "HTTP_PORT": str(self.port),
            "OPS_PORT": str(self._ops_port),
            "GOAWAY_SPREAD_SECONDS": "0",
            "LOG_LEVEL": "ERROR",
        }
        self.process = _child(stack, ["ws_service"], environment)
        _until_listening(self.port)

    def send(self) -> tuple[int, float]:
        return self._loop.run(self._publish(MARKET_ID, LEVELS))

    def fill(self, idle: int) -> None:
        """Changes of a book that only the idle clients follow, until all of them count as slow."""
        for _ in range(FILL_FRAMES_MAX):
            if self.slow() == idle:
                return
            self._loop.run(self._publish(FILL_MARKET_ID, FILL_LEVELS))
            time.sleep(FILL_PAUSE_SECONDS)
        raise BenchError(f"{self.slow()} sockets are slow, not {idle}")

    def slow(self) -> int:
        """Sockets that it counts as slow."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._ops_port}/metrics") as answer:
            found = re.search(rb"^ws_slow_sockets (\S+)", answer.read(), re.MULTILINE)
        assert found is not None
        return int(float(found[1]))

    async def _publish(self, market_id: str, levels: int) -> tuple[int, float]:
        self._book.seqs[market_id] += 1
        seq = self._book.seqs[market_id]
        began = time.perf_counter()
        await self._bus.publish(f"market.{market_id}.book", _change(market_id, seq, levels))
        await self._bus.flush()
        return seq, began


class Rival:
    """A library's server in a process of its own."""

    path = "/"
    hello = ""

    def __init__(self, stack: ExitStack, name: str) -> None:
        self.port = free_port()
        self._seq = 0
        self.process = _child(stack, ["bench.rival_sockets", name, str(self.port)], {})
        _until_listening(self.port)

    def send(self) -> tuple[int, float]:
        self._seq += 1
        began = time.perf_counter()
        assert self.process.stdin is not None
        self.process.stdin.write(_delta(self._seq) + b"\n")
        self.process.stdin.flush()
        return self._seq, began


def section(quick: bool) -> Section:
    counts = (200, 400) if quick else COUNTS
    return Section(
        title="WebSocket fan-out",
        note=(
            "One book change to so many sockets of one process, from its publication to each client's receipt; "
            "clients in a process of their own on the same cores. Memory: the server's, over what it has without any."
        ),
        metrics=METRICS,
        ours=(),
        arms=_arms(counts, 10 if quick else FRAMES),
    )


@contextmanager
def _arms(counts: Sequence[int], frames: int) -> Iterator[Sequence[Arm]]:
    most = counts[-1]
    yield [
        *(
            Arm(_name(name, count), partial(_measure, name, count, 0, frames))
            for count in counts
            for name in ("ws_service", "aiohttp", "websockets")
        ),
        Arm(_idle_name(most), partial(_measure, "ws_service", most, most // IDLE_SHARE, frames)),
    ]


def _name(server: str, count: int) -> str:
    return f"{server}, {count:,}"


def _idle_name(count: int) -> str:
    return f"ws_service, {count:,}, a tenth never reads"


def _measure(name: str, count: int, idle: int, frames: int) -> Mapping[str, float]:
    """A new server, its clients, some frames."""
    with ExitStack() as stack:
        server: Server = Ours(stack) if name == "ws_service" else Rival(stack, name)
        before = _resident_bytes(server)
        load = stack.enter_context(Load(Clients(server.port, server.path, count, server.hello, idle, BOTH)))
        if isinstance(server, Ours) and idle:
            server.fill(idle)
        receipts = [_one_frame(server, load) for _ in range(WARM_UP_FRAMES + frames)][WARM_UP_FRAMES:]
        used = _resident_bytes(server) - before
    seconds = [moment for each in receipts for moment in each]
    cuts = quantiles(seconds, n=100)
    lasts = quantiles([each[-1] for each in receipts], n=2)
    return dict(
        zip(METRICS, (cuts[49] * 1e3, cuts[98] * 1e3, lasts[0] * 1e3, used / count / 1024), strict=True)
    )


def _one_frame(server: Server, load: Load) -> Sequence[float]:
    """Seconds until each client had it, in order."""
    time.sleep(PAUSE_SECONDS)
    seq, began = server.send()
    return [moment - began for moment in load.receipts(seq, FRAME_SECONDS)]


def soak(seconds: float) -> None:
    """Prints the server's memory while books change; a tenth of the clients never reads. Fails when it grows after
    its first minute by more than a twentieth."""
    with ExitStack() as stack:
        server = Ours(stack)
        clients = Clients(server.port, server.path, SOAK_COUNT, server.hello, SOAK_COUNT // IDLE_SHARE, BOTH)
        load = stack.enter_context(Load(clients))
        began = time.monotonic()
        shown, first, resident = 0.0, 0.0, 0.0
        while (now := time.monotonic() - began) < seconds:
            seq, _ = server.send()
            load.receipts(seq, FRAME_SECONDS)
            time.sleep(SOAK_PAUSE_SECONDS)
            if now >= shown:
                resident = _resident_bytes(server) / 2**20
                first = first or (resident if now >= seconds / 5 else 0.0)
                print(f"{now:6.0f} s  {resident:8.1f} MiB", flush=True)
                shown += SOAK_SHOWN_SECONDS
        if resident > first * SOAK_GROWTH_MAX:
            raise BenchError(f"memory grew from {first:.1f} to {resident:.1f} MiB")


def _change(market_id: str, seq: int, levels: int) -> bytes:
    """A book message of the bus."""
    return json.dumps(
        {
            "market_id": market_id,
            "epoch": 1,
            "prev_seq": seq - 1,
            "seq": seq,
            "time": 1_800_000_000_000_000 + seq,
            "levels": [[price * 1_000, 1_000_000 + seq, "bid"] for price in range(1, levels + 1)],
            "pool": {"yes_micros": 400_000_000, "no_micros": 600_000_000},
            "probability_micros": 600_000,
            "last_price_micros": 600_000,
            "collateral_micros": 600_000_000,
            "status": "ACTIVE",
        }
    ).encode()


def _delta(seq: int) -> bytes:
    """The frame that ws_service makes of it."""
    return json.dumps(
        {
            "type": "book.delta",
            "market_id": MARKET_ID,
            "epoch": 1,
            "prev_seq": seq - 1,
            "seq": seq,
            "time": "2027-01-15T08:00:00.000001Z",
            "bids": [[price * 1_000, 1_000_000 + seq] for price in range(LEVELS, 0, -1)],
            "asks": [],
            "pool": {"yes_micros": 400_000_000, "no_micros": 600_000_000},
            "checksum": 2_423_766_841,
        },
        separators=(",", ":"),
    ).encode()


def _child(
    stack: ExitStack, module: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        env={**os.environ, **environment},
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )

    def end() -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
    return process


def _until_listening(port: int) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise BenchError(f"nobody listens on port {port}")


def _resident_bytes(server: Server) -> int:
    resident: int = psutil.Process(server.process.pid).memory_info().rss
    return resident


def main() -> None:
    """The soak alone; the section is one of `python -m bench`."""
    parser = argparse.ArgumentParser(prog="bench.fan_out", description=__doc__)
    parser.add_argument("--soak", action="store_true", required=True)
    parser.add_argument("--seconds", type=float, default=SOAK_SECONDS)
    soak(parser.parse_args().seconds)


if __name__ == "__main__":
    main()
