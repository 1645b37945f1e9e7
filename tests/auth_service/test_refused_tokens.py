"""Dead refresh tokens in Redis: a shortcut that changes no answer, with Redis or without."""

import time
from typing import Any

from auth_service.refused_tokens import RefusedTokens
from auth_service.tokens import REFRESH_TOKEN
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from runtime.ports import free_port
from tests.auth_service.conftest import StartAuth

INVALID = ErrorCode.REFRESH_TOKEN_INVALID


async def test_a_dead_token_is_refused_without_postgres(
    start_auth: StartAuth, redis_server: Any, rows: Any
) -> None:
    auth = await start_auth(redis_url=redis_server.url)
    first = (await auth.register()).tokens
    await auth.refresh(first.refresh_token)
    one = await auth.refusal_of(auth.refresh(first.refresh_token))
    refused = RefusedTokens(redis_server.url)
    assert await refused.knows(REFRESH_TOKEN.hash(first.refresh_token))
    await refused.close()
    await rows.execute("DELETE FROM refresh_tokens")  # Postgres would not know it any more
    two = await auth.refusal_of(auth.refresh(first.refresh_token))
    assert (one.code, one.message, one.details) == (two.code, two.message, two.details)
    assert one.code is INVALID


async def test_a_live_token_is_never_remembered(start_auth: StartAuth, redis_server: Any) -> None:
    auth = await start_auth(redis_url=redis_server.url)
    tokens = (await auth.register()).tokens
    refused = RefusedTokens(redis_server.url)
    for _ in range(5):
        assert not await refused.knows(REFRESH_TOKEN.hash(tokens.refresh_token))
        tokens = await auth.refresh(tokens.refresh_token)
    unknown = "pmr_" + "A" * 43
    assert (await auth.refusal_of(auth.refresh(unknown))).code is INVALID
    assert not await refused.knows(REFRESH_TOKEN.hash(unknown))  # strangers do not fill Redis
    await refused.close()


async def test_a_suspension_is_not_remembered_because_it_may_be_lifted(
    start_auth: StartAuth, redis_server: Any, rows: Any
) -> None:
    auth = await start_auth(redis_url=redis_server.url)
    tokens = (await auth.register()).tokens
    await rows.execute("UPDATE users SET status = 'suspended' WHERE role = 'user'")
    assert (await auth.refusal_of(auth.refresh(tokens.refresh_token))).code is ErrorCode.ACCOUNT_SUSPENDED
    refused = RefusedTokens(redis_server.url)
    assert not await refused.knows(REFRESH_TOKEN.hash(tokens.refresh_token))
    await refused.close()


async def test_without_redis_everything_goes_on_without_delay(start_auth: StartAuth) -> None:
    auth = await start_auth(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    tokens = (await auth.register()).tokens
    began = time.perf_counter()
    for _ in range(10):
        tokens = await auth.refresh(tokens.refresh_token)
    assert time.perf_counter() - began < 5
    await auth.ask("LogOut", auth_pb2.LogOutRequest(refresh_token=tokens.refresh_token))
    assert (await auth.refusal_of(auth.refresh(tokens.refresh_token))).code is INVALID


async def test_redis_killed_and_restarted_empty_changes_no_answer(
    start_auth: StartAuth, private_redis: Any
) -> None:
    auth = await start_auth(redis_url=private_redis.url)
    dead = (await auth.register()).tokens
    live = (await auth.log_in("ada@example.org")).tokens
    await auth.refresh(dead.refresh_token)
    for step in (lambda: None, private_redis.kill, private_redis.start):
        step()
        assert (await auth.refusal_of(auth.refresh(dead.refresh_token))).code is INVALID
        live = await auth.refresh(live.refresh_token)
