"""When the client asks again: the policy, and the caller on a server that misbehaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from predmarket_client import ApiError, Client, NoAnswer, ProtocolError, RetryPolicy, limit
from runtime.http_server import HttpServer

QUICK = RetryPolicy(attempts_max=4, total_seconds=5, first_wait_seconds=0.001)
ORDER = limit("BUY", "YES", "m", price_micros=500_000, quantity_micros=1_000_000)


@given(
    attempt=st.integers(1, 20),
    elapsed=st.floats(0, 40),
    retry_after=st.none() | st.floats(0, 60),
    chance=st.floats(0, 1),
)
def test_waits_are_bounded_and_never_shorter_than_asked(
    attempt: int, elapsed: float, retry_after: float | None, chance: float
) -> None:
    policy = RetryPolicy()
    wait = policy.wait_seconds(
        attempt=attempt, elapsed_seconds=elapsed, retry_after_seconds=retry_after, chance=chance
    )
    if wait is None:
        longest = policy.wait_max_seconds if retry_after is None else retry_after * 1.25 + 0.1
        assert attempt >= policy.attempts_max or elapsed + longest >= policy.total_seconds
        return
    assert attempt < policy.attempts_max
    assert elapsed + wait < policy.total_seconds
    assert wait >= (retry_after if retry_after is not None else policy.first_wait_seconds / 2)


def test_those_who_were_refused_together_come_back_apart() -> None:
    waits = {
        RetryPolicy().wait_seconds(attempt=1, elapsed_seconds=0, retry_after_seconds=1.0, chance=chance / 10)
        for chance in range(10)
    }
    assert len(waits) == 10


@dataclass(slots=True)
class Server:
    """Answers as the script says; the last answer for ever."""

    url: str = ""
    script: list[Callable[[], web.StreamResponse | None]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("Idempotency-Key"))
        answer = (self.script.pop(0) if len(self.script) > 1 else self.script[0])()
        if answer is None:  # the request is taken, the answer lost
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        return answer


@asynccontextmanager
async def serving(*script: Callable[[], web.StreamResponse | None]) -> AsyncIterator[Server]:
    server = Server(script=list(script))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    http = HttpServer(app, host="127.0.0.1", port=0, grace_seconds=0)
    await http.start()
    server.url = f"http://127.0.0.1:{http.port}"
    try:
        yield server
    finally:
        await http.stop()


@asynccontextmanager
async def client_of(*script: Callable[[], web.StreamResponse | None]) -> AsyncIterator[tuple[Server, Client]]:
    async with serving(*script) as server, Client(server.url, token="t", retries=QUICK) as client:
        yield server, client


def lost() -> None:
    """No answer."""


def refused(
    status: int, code: str, retryable: bool = True, *, retry_after: str = ""
) -> Callable[[], web.Response]:
    document: dict[str, object] = {
        "code": code,
        "detail": "no",
        "retryable": retryable,
        "trace_id": "t",
        "required_micros": "5",
    }
    headers = {"Retry-After": retry_after} if retry_after else {}
    document["errors"] = [{"pointer": "/price_micros", "detail": "bad"}]
    return lambda: web.json_response(document, status=status, headers=headers)


def time_told() -> web.Response:
    return web.json_response({"time": "2030-01-01T00:00:00.000000Z"})


async def test_a_write_whose_answer_is_lost_is_repeated_under_the_same_key() -> None:
    async with client_of(lost, refused(503, "UNAVAILABLE"), refused(409, "SELF_TRADE", False)) as (
        server,
        client,
    ):
        with pytest.raises(ApiError, match="SELF_TRADE"):
            await client.orders.place(ORDER)
    assert len(server.keys) == 3
    assert len(set(server.keys)) == 1
    assert server.keys[0]


async def test_two_writes_never_share_a_key_and_a_given_key_is_used() -> None:
    async with client_of(refused(409, "SELF_TRADE", False)) as (server, client):
        for key in (None, None, "mine"):
            with contextlib.suppress(ApiError):
                await client.orders.place(ORDER, idempotency_key=key)
    assert len(set(server.keys)) == 3
    assert server.keys[2] == "mine"


async def test_what_stays_lost_ends_with_the_key_to_ask_again_with() -> None:
    async with serving(lost) as server, Client(server.url, token="t", retries=QUICK) as client:
        with pytest.raises(NoAnswer) as ended:
            await client.orders.place(ORDER)
    assert server.keys == [ended.value.idempotency_key] * QUICK.attempts_max


async def test_nobody_at_the_address_is_no_answer() -> None:
    async with Client("http://127.0.0.1:1", retries=QUICK) as client:
        with pytest.raises(NoAnswer):
            await client.time()


async def test_retry_after_is_kept_to() -> None:
    loop = asyncio.get_running_loop()
    async with client_of(refused(429, "RATE_LIMITED", retry_after="1"), time_told) as (_, client):
        started = loop.time()
        await client.time()
        assert loop.time() - started >= 1


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    async with client_of(refused(429, "RATE_LIMITED", retry_after="60")) as (server, client):
        started = loop.time()
        with pytest.raises(ApiError) as refusal:
            await client.time()
        assert loop.time() - started < 10
    assert refusal.value.retry_after_seconds == 60
    assert len(server.keys) == 1


async def test_a_refusal_keeps_everything_the_engine_said_and_is_not_repeated() -> None:
    async with serving(refused(422, "INVALID_ARGUMENT", False)) as server, Client(server.url) as client:
        with pytest.raises(ApiError) as refusal:
            await client.time()
    error = refusal.value
    assert (error.code, error.message, error.status, error.trace_id) == ("INVALID_ARGUMENT", "no", 422, "t")
    assert (error.retryable, error.details) == (False, {"required_micros": "5"})
    assert [(each.pointer, each.detail) for each in error.fields] == [("/price_micros", "bad")]
    assert len(server.keys) == 1


async def test_a_proxy_page_and_a_stranger_are_told_apart() -> None:
    async with client_of(lambda: web.Response(status=500, text="<html>")) as (server, client):
        with pytest.raises(ApiError, match="HTTP_500"):
            await client.time()
    async with serving(lambda: web.Response(text="hello")) as server, Client(server.url) as client:
        with pytest.raises(ProtocolError):
            await client.time()
