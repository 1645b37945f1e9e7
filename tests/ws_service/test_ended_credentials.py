"""What ends a credential at a real auth_service ends the sockets it opened, with 4001, within seconds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from predmarket.auth.v1 import auth_pb2
from runtime import api_keys
from tests.auth_service.support import Auth, Points, make_admin, run_auth, serve_points
from tests.ws_service.support import Live, Servers, ensure_user_events, run_live
from ws_service import access

PROMISED_SECONDS = 5


@pytest.fixture
async def auth(fresh_database: Any, tmp_path: Any) -> AsyncIterator[Auth]:
    async with (
        serve_points(Points()) as points,
        run_auth(fresh_database.url_for("pm_auth"), points.address, mail_folder=tmp_path) as running,
    ):
        yield running


@pytest.fixture
async def live(auth: Auth, servers: Servers) -> AsyncIterator[Live]:
    async with run_live(servers, jwks_url=auth.jwks_url, auth_grpc=auth.address) as running:
        await ensure_user_events(running)
        yield running


@pytest.fixture
async def admin_token(auth: Auth, fresh_database: Any) -> str:
    rows = await asyncpg.connect(fresh_database.superuser_url)
    token: str = (await make_admin(auth, rows)).tokens.access_token
    await rows.close()
    return token


async def end(auth: Auth, how: str, user: Any, admin_token: str, key_id: str) -> None:
    request: Any
    user_id, token = user.user.user_id, user.tokens.access_token
    match how:
        case "suspended":
            request = auth_pb2.SuspendUserRequest(user_id=user_id, reason="a test", idempotency_key="s")
            await auth.admin("SuspendUser", request, admin_token)
        case "role":
            request = auth_pb2.SetRoleRequest(
                user_id=user_id, role=auth_pb2.ROLE_ANALYST, reason="a test", idempotency_key="r"
            )
            await auth.admin("SetRole", request, admin_token)
        case "session":
            await auth.ask("LogOut", auth_pb2.LogOutRequest(refresh_token=user.tokens.refresh_token))
        case "api key":
            request = auth_pb2.RevokeApiKeyRequest(api_key_id=key_id, idempotency_key="k")
            await auth.ask("RevokeApiKey", request, token=token)


@pytest.mark.parametrize("how", ["suspended", "role", "session", "api key"])
async def test_the_socket_ends_with_its_credential(
    auth: Auth, live: Live, admin_token: str, how: str
) -> None:
    user, other = await auth.register("bob@example.org"), await auth.register("eve@example.org")
    created = await auth.api_key(user.tokens.access_token)
    credential = created.secret if how == "api key" else user.tokens.access_token
    reader = await live.connect(headers={"Authorization": f"Bearer {credential}"})
    stays = await live.connect(headers={"Authorization": f"Bearer {other.tokens.access_token}"})
    assert (await reader.own())["type"] == (await stays.own())["type"] == "subscribed"
    await end(auth, how, user, admin_token, created.api_key.api_key_id)
    began = time.monotonic()
    assert await reader.closed_with(seconds=PROMISED_SECONDS * 10) == 4001
    print(f"{how}: {time.monotonic() - began:.1f} s")
    await stays.send(id=1, cmd="ping")
    assert (await stays.next())["type"] == "pong"


async def test_a_ticket_of_a_session_that_has_ended_meanwhile_is_refused(auth: Auth, live: Live) -> None:
    user = await auth.register("bob@example.org")
    identity = await auth.verifier.identity(f"Bearer {user.tokens.access_token}")

    async def log_in() -> dict[str, Any]:
        """On a socket of its own: those before are closed."""
        ticket = await live.ticket(identity.user_id, session_id=identity.session_id, version=identity.version)
        return await (await live.connect()).log_in(ticket)

    assert (await log_in())["type"] == "authenticated"
    await auth.ask("LogOut", auth_pb2.LogOutRequest(refresh_token=user.tokens.refresh_token))
    async with asyncio.timeout(PROMISED_SECONDS * 10):
        while (answer := await log_in())["type"] == "authenticated":
            await asyncio.sleep(0.2)
    assert answer["code"] == "UNAUTHENTICATED"


async def test_while_auth_service_is_away_those_who_were_let_in_stay(
    fresh_database: Any, tmp_path: Any, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "KNOWN_SECONDS", 0.2)
    monkeypatch.setattr(api_keys, "ASK_AGAIN_SECONDS", 0.1)
    async with AsyncExitStack() as outer:
        points = await outer.enter_async_context(serve_points(Points()))
        stack = await outer.enter_async_context(AsyncExitStack())
        database_url = fresh_database.url_for("pm_auth")
        auth = await stack.enter_async_context(run_auth(database_url, points.address, mail_folder=tmp_path))
        live = await outer.enter_async_context(
            run_live(servers, jwks_url=auth.jwks_url, auth_grpc=auth.address)
        )
        user = await auth.register("bob@example.org")
        token = user.tokens.access_token
        key = (await auth.api_key(token)).secret
        readers = [await live.connect(headers={"Authorization": f"Bearer {each}"}) for each in (token, key)]
        await stack.aclose()
        await asyncio.sleep(3 * access.LOOK_SECONDS)
        for reader in readers:
            await reader.send(id=1, cmd="ping")
            assert (await reader.next())["type"] == "pong"


async def test_a_key_that_may_only_trade_may_not_listen(auth: Auth, live: Live) -> None:
    user = await auth.register("bob@example.org")
    created = await auth.api_key(user.tokens.access_token, auth_pb2.API_KEY_SCOPE_TRADE)
    headers = {"Authorization": f"Bearer {created.secret}"}
    async with live.http.get(live.url, headers=headers) as plain:
        assert plain.status == 400  # no WebSocket handshake: not even looked at
    with pytest.raises(Exception, match="403"):
        await live.connect(headers=headers)
