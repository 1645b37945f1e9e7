"""Throws more at several gateways than limits admit, and keeps when each admission was asked for and answered."""

import asyncio
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from runtime.rate_policy import Bucket, RatePolicy, RateSettings
from tests.api_gateway.support import Suite, run_suite
from tests.limits.callers import Asked, Caller, ask_for, make_callers
from tests.limits.windows import Admission, most_in_a_window
from tests.processes import service_processes
from tests.servers import Database

WORKERS = 64
ANSWER_SECONDS = 20
OF_ALL = {"trusted_proxies": "127.0.0.1", "gateway_secret": "of the campaign"}


@dataclass(slots=True)
class Findings:
    """What came back. `bad`: whatever is neither an admission nor a proper refusal."""

    policy: RatePolicy
    admitted: dict[tuple[str, str, Bucket], list[Admission]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By the caller's name, tier and bucket."""
    refused: Counter[tuple[str, str, Bucket]] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def most(self, name: str, tier: str, bucket: Bucket) -> tuple[int, int]:
        """The most in one window, and the limit."""
        limit = self.policy.limit(bucket, tier)
        return most_in_a_window(self.admitted[name, tier, bucket], limit), limit.count

    def broken(self) -> list[str]:
        """Every limit of which some window held more, and everything bad."""
        over = [
            f"{bucket} of {name}: {most} in a window, {count} allowed"
            for name, tier, bucket in self.admitted
            for most, count in [self.most(name, tier, bucket)]
            if most > count
        ]
        return over + self.bad


@asynccontextmanager
async def gateways(
    database: Database, nats_url: str, redis_url: str, count: int
) -> AsyncIterator[tuple[Suite, list[str]]]:
    """All services, and so many gateway processes: their URLs."""
    settings = {"redis_url": redis_url, **OF_ALL}
    async with (
        run_suite(database, nats_url, all_settings=settings) as suite,
        service_processes("api_gateway", suite.of_gateways, count) as processes,
    ):
        yield suite, [f"http://127.0.0.1:{process.port}" for process in processes]


async def throw_all(
    suite: Suite,
    urls: Sequence[str],
    count: int,
    seed: str,
    *,
    seconds: float = 0.0,
    on_answer: Callable[[], None] = lambda: None,
) -> Findings:
    """`count` requests, spread over so many seconds, each to any of the gateways."""
    callers, market_id = await make_callers(suite)
    findings = Findings(RateSettings().rate_policy())
    chance = random.Random(seed)
    started_at = time.monotonic()
    numbers = iter(range(count))
    async with open_channel(suite.order_address) as channel:
        orders = order_pb2_grpc.OrderServiceStub(channel)

        async def work() -> None:
            for number in numbers:
                due_at = started_at + seconds * number / count
                await asyncio.sleep(max(0.0, due_at - time.monotonic()))
                caller = chance.choice(callers)
                asked = ask_for(chance.choice(caller.buckets), market_id, chance)
                await _ask(suite, chance.choice(urls), orders, caller, asked, findings)
                on_answer()

        await asyncio.gather(*(work() for _ in range(WORKERS)))
    findings.seconds = time.monotonic() - started_at
    return findings


async def _ask(
    suite: Suite,
    url: str,
    orders: order_pb2_grpc.OrderServiceStub,
    caller: Caller,
    asked: Asked,
    findings: Findings,
) -> None:
    counted = (caller.name, caller.tier, asked.bucket)
    asked_at = time.monotonic()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if asked.path:
                is_admitted = await _by_rest(suite.http, url, caller, asked)
            else:
                is_admitted = await _by_grpc(orders, caller)
    except (TimeoutError, aiohttp.ClientError, ApiError, AssertionError) as error:
        findings.bad.append(f"{asked.method} {asked.path}: {type(error).__name__} {error}")
        return
    if is_admitted:
        findings.admitted[counted].append(Admission(asked_at, time.monotonic(), asked.cost))
    else:
        findings.refused[counted] += 1


async def _by_rest(http: aiohttp.ClientSession, url: str, caller: Caller, asked: Asked) -> bool:
    async with http.request(asked.method, url + asked.path, json=asked.body, headers=caller.headers) as reply:
        body = await reply.json(content_type=None)
        if reply.status == 429:
            assert body["code"] == "RATE_LIMITED"
            assert 1 <= int(reply.headers["Retry-After"]) <= 61
            return False
        assert reply.status < 500, body
        assert reply.status not in (401, 403), body
        return True


async def _by_grpc(orders: order_pb2_grpc.OrderServiceStub, caller: Caller) -> bool:
    """A cancel of an order that is not there, asked of order_service directly."""
    request = order_pb2.CancelOrderRequest(order_id=str(uuid.uuid4()))
    try:
        await call(
            orders.CancelOrder,
            request,
            authorization=caller.headers["Authorization"],
            deadline_seconds=ANSWER_SECONDS,
        )
    except ApiError as error:
        if error.code not in (ErrorCode.ORDER_NOT_FOUND, ErrorCode.RATE_LIMITED):
            raise
        return error.code is ErrorCode.ORDER_NOT_FOUND
    return True
