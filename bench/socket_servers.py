"""What is measured: a ws_service process on a bus of its own, and the rivals' servers."""

from __future__ import annotations

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
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import nats
import psutil
from nats.aio.client import Client as Bus

from bench import servers
from bench.exchange import Issuer
from bench.report import BenchError
from launcher.embedded.process import die_with_parent
from runtime.ports import free_port

READY_SECONDS = 30.0
LEVELS = 3
FILL_LEVELS = 900
FILL_FRAMES_MAX = 300
FILL_PAUSE_SECONDS = 0.06
"""More than ws_service merges over, so that each change is a frame."""
MARKET_ID = "00000006-0000-4000-8000-000000000001"
FILL_MARKET_ID = "00000006-0000-4000-8000-000000000002"
REPOSITORY = Path(__file__).parents[1]


def follow(*market_ids: str) -> str:
    """The command that subscribes to their books."""
    return json.dumps({"cmd": "subscribe", "channel": "book", "market_ids": market_ids})


class Server(Protocol):
    """Something that sends a text to all its sockets."""

    port: int
    path: str
    hello: str
    process: subprocess.Popen[bytes]

    def send(self) -> tuple[int, float]:
        """One frame: its number, and when it was asked for (Unix time, seconds)."""
        ...


class Ours:
    """A new ws_service process, all limits on: a book message on the bus becomes a delta for every follower."""

    path = "/ws/v1"
    hello = follow(MARKET_ID)
    idle_hello = follow(MARKET_ID, FILL_MARKET_ID)

    def __init__(self, stack: ExitStack) -> None:
        self.port, book_port, self._ops_port = free_port(), free_port(), free_port()
        self._seqs = {MARKET_ID: 0, FILL_MARKET_ID: 0}
        where = stack.enter_context(servers.folder())
        nats_url = stack.enter_context(servers.nats(where)).url
        redis_url = stack.enter_context(servers.redis(where)).url
        issuer = Issuer()
        stack.callback(issuer.close)
        self._book = child(stack, ["bench.still_book", str(book_port)], {})
        _until_listening(book_port)
        self._loop = stack.enter_context(asyncio.Runner())
        self._bus: Bus = self._loop.run(nats.connect(nats_url))
        stack.callback(lambda: self._loop.run(self._bus.close()))
        environment = {
            "NATS_URL": nats_url,
            "REDIS_URL": redis_url,
            "JWKS_URL": issuer.url,
            "ORDER_GRPC": f"127.0.0.1:{book_port}",
            "HTTP_PORT": str(self.port),
            "OPS_PORT": str(self._ops_port),
            "GOAWAY_SPREAD_SECONDS": "0",
            "LOG_LEVEL": "ERROR",
        }
        self.process = child(stack, ["ws_service"], environment)
        _until_listening(self.port)

    def send(self) -> tuple[int, float]:
        return self._change(MARKET_ID, LEVELS)

    def fill(self) -> None:
        """A large change of the book that only the clients that never read follow."""
        self._change(FILL_MARKET_ID, FILL_LEVELS)
        time.sleep(FILL_PAUSE_SECONDS)

    def make_slow(self, idle: int) -> None:
        """Fills their sockets until all of them count as slow."""
        for _ in range(FILL_FRAMES_MAX):
            if self.metric("ws_slow_sockets") == idle:
                return
            self.fill()
        self.check_slow(idle)

    def check_slow(self, idle: int) -> None:
        """Raises BenchError when not so many count as slow."""
        slow = self.metric("ws_slow_sockets")
        if slow != idle:
            raise BenchError(f"{slow:.0f} sockets are slow, not {idle}")

    def metric(self, name: str) -> float:
        """What it counts; 0 for what has not happened."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._ops_port}/metrics") as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def _change(self, market_id: str, levels: int) -> tuple[int, float]:
        self._seqs[market_id] += 1
        seq = self._seqs[market_id]
        assert self._book.stdin is not None
        self._book.stdin.write(f"{market_id} {seq}\n".encode())
        self._book.stdin.flush()
        return seq, self._loop.run(self._publish(market_id, _change(market_id, seq, levels)))

    async def _publish(self, market_id: str, message: bytes) -> float:
        began = time.time()
        await self._bus.publish(f"market.{market_id}.book", message)
        await self._bus.flush()
        return began


class Rival:
    """A library's server, which sends the very text that ws_service does."""

    path = "/"
    hello = ""

    def __init__(self, stack: ExitStack, name: str) -> None:
        self.port = free_port()
        self._seq = 0
        self.process = child(stack, ["bench.rival_sockets", name, str(self.port)], {})
        _until_listening(self.port)

    def send(self) -> tuple[int, float]:
        self._seq += 1
        text = _delta(self._seq) + b"\n"
        assert self.process.stdin is not None
        began = time.time()
        self.process.stdin.write(text)
        self.process.stdin.flush()
        return self._seq, began


def resident_bytes(server: Server) -> int:
    """The memory of its process."""
    resident: int = psutil.Process(server.process.pid).memory_info().rss
    return resident


def child(stack: ExitStack, module: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """`python -m module`, ended with the stack."""
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
            process.wait(servers.STOP_SECONDS)
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
            "volume_micros": 0,
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
