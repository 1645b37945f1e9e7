"""A flood of log-ins beside orders: hashing takes what it can, refuses the rest at once, and leaves orders alone.

Both loads are open: each call leaves when it is due, and its latency counts from then. Passwords are hashed with the
product's own parameters; half of the log-ins are right, half are of nobody.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import quantiles

import uvloop

from bench import exchange, open_loop, servers
from bench.exchange import DATABASE, READY_SECONDS, Exchange
from bench.optimistic import Tally
from bench.report import Arm, BenchError, Section, together
from launcher.embedded.process import die_with_parent
from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from predmarket.order.v1 import order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from runtime.ports import free_port

ORDERS_PER_SECOND = 100
LOG_INS_PER_SECOND = 200
DEADLINE_SECONDS = 30
WARM_UP_SECONDS = 1.0
EMAIL = "flood@example.org"
PASSWORD = "kV7#qLm2w"
ORDER_METRICS = ("orders p99 ms", "orders p50 ms")
FLOOD_METRICS = ("log-ins", "served", "served p99 ms", "refused p99 ms")


@dataclass(slots=True)
class Flood:
    """Seconds of every log-in, by what became of it."""

    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def figures(self) -> Mapping[str, float]:
        return {
            "log-ins": len(self.served) + len(self.refused),
            "served": len(self.served),
            "served p99 ms": _p99_ms(self.served),
            "refused p99 ms": _p99_ms(self.refused),
        }


def section(quick: bool) -> Section:
    return Section(
        title="Log-in flood",
        note=f"{ORDERS_PER_SECOND} orders/s by gRPC, alone and beside {LOG_INS_PER_SECOND} log-ins/s; a refused log-in "
        "must say OVERLOADED and when to come back.",
        metrics=(*ORDER_METRICS, *FLOOD_METRICS),
        ours=(),
        arms=_arms(2.0 if quick else 10.0),
    )


@contextmanager
def _arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours, _auth_service(ours) as address:
        yield [
            Arm("orders alone", partial(_measure, ours, address, 0, seconds)),
            Arm("beside the flood", partial(_measure, ours, address, LOG_INS_PER_SECOND, seconds)),
        ]


def _measure(ours: Exchange, address: str, log_ins_per_second: int, seconds: float) -> Mapping[str, float]:
    return uvloop.run(_load(ours, address, log_ins_per_second, seconds))


async def _load(ours: Exchange, address: str, log_ins_per_second: int, seconds: float) -> Mapping[str, float]:
    async with open_channel(ours.address) as order_channel, open_channel(address) as auth_channel:
        orders = order_pb2_grpc.OrderServiceStub(order_channel)
        await open_loop.send(ours, orders, ORDERS_PER_SECOND, WARM_UP_SECONDS, Tally())
        tally, flood = Tally(), Flood()
        auth = auth_pb2_grpc.AuthServiceStub(auth_channel)
        flooding = asyncio.create_task(_flood(auth, log_ins_per_second, seconds, flood))
        elapsed = await open_loop.send(ours, orders, ORDERS_PER_SECOND, seconds, tally)
        await flooding
    figures = tally.figures(elapsed)
    shown = {"orders p99 ms": figures["p99 ms"], "orders p50 ms": figures["p50 ms"]}
    return {**shown, **flood.figures()} if log_ins_per_second else shown


async def _flood(stub: auth_pb2_grpc.AuthServiceStub, rate: int, seconds: float, flood: Flood) -> None:
    started = time.perf_counter()

    async def one(number: int) -> None:
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        email = EMAIL if number % 2 else f"nobody{number}@example.org"
        was_served = await _log_in(stub, email)
        (flood.served if was_served else flood.refused).append(time.perf_counter() - due)

    await together([one(number) for number in range(round(rate * seconds))])


async def _log_in(stub: auth_pb2_grpc.AuthServiceStub, email: str) -> bool:
    """Whether the password was compared; a refusal that does not say when to come back is an error."""
    try:
        request = auth_pb2.LogInRequest(email=email, password=PASSWORD)
        await call(stub.LogIn, request, deadline_seconds=DEADLINE_SECONDS)
    except ApiError as error:
        if error.code is ErrorCode.OVERLOADED and int(error.details.get("retry_after_ms", 0)) > 0:
            return False
        if error.code is not ErrorCode.INVALID_CREDENTIALS or email == EMAIL:
            raise BenchError(f"auth_service answered {error.code} to {email}") from error
    return True


@contextmanager
def _auth_service(ours: Exchange) -> Iterator[str]:
    """Its address, with one account. Nobody is granted points: the exchange's users have theirs."""
    port, where = free_port(), ours.log_path.parent
    environment = {
        **os.environ,
        "DATABASE_URL": ours.postgres.url_for(DATABASE, "pm_auth"),
        "ORDER_GRPC": ours.address,
        "GRPC_PORT": str(port),
        "OPS_PORT": str(free_port()),
        "SIGNUP_GRANT_MICROS": "0",
        "TREASURY_GRANT_MICROS": "0",
        "MAIL_FOLDER": str(where / "mail"),
        "LOG_LEVEL": "WARNING",
    }
    address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        log = stack.enter_context((where / "auth_service.log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", "auth_service"],
            env=environment,
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        stack.callback(_stop, process)
        asyncio.run(_register(address))
        yield address


async def _register(address: str) -> None:
    async with open_channel(address) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        request = auth_pb2.RegisterRequest(email=EMAIL, password=PASSWORD)
        try:
            await call(stub.Register, request, deadline_seconds=READY_SECONDS, wait_for_ready=True)
        except ApiError as error:
            raise BenchError(f"auth_service answered {error.code} to a registration") from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(servers.STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _p99_ms(seconds: Sequence[float]) -> float:
    if len(seconds) < 2:
        return 1_000 * sum(seconds)
    return 1_000 * quantiles(seconds, n=100, method="inclusive")[98]
