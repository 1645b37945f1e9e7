"""Whoever sends or reads slowly holds a bounded number of questions and answers in memory, and not for long."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from analytics.analysts.sessions import Bounds
from analytics.analysts.turns import TurnLimits
from runtime.metrics import REGISTRY
from tests.analytics.analysts.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "SELECT repeat('x', 100) FROM numbers(400000)"
"""40 MB: more than sockets hold."""

PER_USER_MAX = 2
TRANSFER_SECONDS = 2.0
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return Bounds(result_max_bytes=50_000_000)


@pytest.fixture(scope="module")
def turns() -> TurnLimits:
    return TurnLimits(per_user_max=PER_USER_MAX, wait_seconds=PATIENCE_SECONDS, user_seconds_per_hour=1e6)


@pytest.fixture(scope="module")
def transfer_seconds() -> float:
    return TRANSFER_SECONDS


async def connected(live: Live, stack: ExitStack, token: str, sent: str, length: int) -> socket.socket:
    """A client that has sent a question, or a part of it, and reads nothing."""
    place = urlsplit(live.url)
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (place.hostname, place.port))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    await loop.sock_sendall(client, (head + sent).encode())
    return client


async def received(client: socket.socket, end: bytes) -> bytes:
    """Up to something, or until the other side cuts it off."""
    loop = asyncio.get_running_loop()
    parts: list[bytes] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not b"".join(parts[-2:]).count(end):
            try:
                part = await loop.sock_recv(client, 65536)
            except ConnectionResetError:
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts)


async def until_present(count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while REGISTRY.get_sample_value("analytics_analysts_present") != count:
            await asyncio.sleep(0.05)


async def test_answers_that_nobody_reads_count_until_they_are_cut_off(live: Live) -> None:
    token, other = live.token(user_id=str(uuid4())), live.token(user_id=str(uuid4()))
    with ExitStack() as stack:
        clients = [await connected(live, stack, token, LONG, len(LONG)) for _ in range(PER_USER_MAX)]
        await until_present(PER_USER_MAX)
        assert (await live.ask("SELECT 1", token=token))[0] == 503
        assert await live.ask("SELECT 1", token=other) == (200, "1\n")
        await until_present(0)
        assert await live.ask("SELECT 1", token=token) == (200, "1\n")
        for client in clients:
            answer = await received(client, b"never")
            assert answer.startswith(b"HTTP/1.1 200")
            assert len(answer) < 40_000_000


async def test_an_answer_that_is_read_comes_whole(live: Live) -> None:
    status, text = await live.ask(LONG)
    assert (status, len(text)) == (200, 400_000 * 101)


async def test_a_question_that_does_not_come_is_no_longer_waited_for(live: Live) -> None:
    token = live.token(user_id=str(uuid4()))
    with ExitStack() as stack:
        answer = await received(await connected(live, stack, token, "SELECT", 100), b"Code:")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"Code: 209." in answer
        gone = await connected(live, stack, token, "SELECT", 100)
        gone.close()
    await until_present(0)
