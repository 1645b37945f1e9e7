"""Tickets, and the Authorization of the handshake, with tokens of a real issuer."""

import asyncio
import uuid
from typing import Any

import aiohttp
import pytest

from tests.ws_service.support import Live, Servers, run_live
from ws_service import access


@pytest.fixture
def user() -> str:
    return str(uuid.uuid4())


async def test_a_ticket_is_good_once(live: Live, user: str) -> None:
    first, second = await live.connect(), await live.connect()
    ticket = await live.ticket(user)
    frame = await first.log_in(ticket)
    assert (frame["type"], frame["user_id"]) == ("authenticated", user)
    assert frame["expires_at"].endswith("Z")
    assert (await second.log_in(ticket))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at_seconds": 1},
        {"expires_at_seconds": "soon"},
        {"user_id": None},
        {"user_id": 7},
        {"role": ["admin"]},
    ],
)
async def test_a_ticket_that_does_not_fit_is_refused(live: Live, user: str, changes: dict[str, Any]) -> None:
    reader = await live.connect()
    assert (await reader.log_in(await live.ticket(user, **changes)))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("ticket", ["nonsense", "\u0000", "*", "ws-ticket:", "x" * 200, "\u202e"])
async def test_an_unknown_ticket_is_refused(live: Live, ticket: str) -> None:
    assert (await (await live.connect()).log_in(ticket))["code"] == "UNAUTHENTICATED"


async def test_a_socket_keeps_its_user_and_a_newer_ticket_lets_it_live_on(
    live: Live, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "LOOK_SECONDS", 0.1)
    reader = await live.connect()
    await reader.log_in(await live.ticket(user, seconds=3))
    assert (await reader.log_in(await live.ticket(str(uuid.uuid4()))))["code"] == "FORBIDDEN"
    assert (await reader.log_in(await live.ticket(user)))["type"] == "authenticated"
    await asyncio.sleep(3.5)
    await reader.send(id=1, cmd="ping")
    assert (await reader.next())["type"] == "pong"


async def test_an_expired_session_is_closed(live: Live, user: str) -> None:
    reader = await live.connect()
    await reader.log_in(await live.ticket(user, seconds=2))
    await reader.subscribe("status", "*")
    assert await reader.closed_with(seconds=10) == 4001


async def test_a_token_of_the_handshake_is_checked(live: Live, user: str) -> None:
    headers = {"Authorization": f"Bearer {live.issuer.token(user)}"}
    reader = await live.connect(headers=headers)
    assert (await reader.own(0))["type"] == "subscribed"
    for wrong in (
        "Bearer nonsense",
        "Basic dTpw",
        "",
        "Bearer pmk_00000000000000000000000000000000_" + "A" * 43,
        headers["Authorization"][:-3],
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await live.connect(headers={"Authorization": wrong})
        assert refused.value.status == 401


async def test_a_token_in_the_url_is_no_token(live: Live, user: str) -> None:
    url = f"{live.url}?access_token={live.issuer.token(user)}&token=x"
    async with live.http.ws_connect(url) as socket:
        await socket.receive()
        await socket.send_str('{"cmd": "subscribe", "channel": "user"}')
        assert "UNAUTHENTICATED" in (await socket.receive()).data


async def test_without_redis_tickets_are_refused_and_all_else_goes_on(
    nats_server: Any, private_redis: Any, user: str
) -> None:
    async with run_live(Servers(nats_server.url, private_redis.url)) as live:
        reader = await live.connect()
        private_redis.stop()
        frame = await reader.log_in("x")
        assert (frame["code"], frame["retryable"]) == ("UNAVAILABLE", True)
        assert (await reader.subscribe("status", "*"))["type"] == "subscribed"
        private_redis.start()
        assert (await reader.log_in(await live.ticket(user)))["type"] == "authenticated"
