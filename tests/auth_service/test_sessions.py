"""Sessions and their refresh tokens: each works once, and a second use ends its family."""

import asyncio
import time
import uuid
from typing import Any

import asyncpg
import pytest

from auth_service.sessions import SESSIONS_MAX
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ApiError, ErrorCode
from tests.auth_service.conftest import StartAuth
from tests.auth_service.support import Auth


async def session_row(rows: Any, session_id: str) -> Any:
    return await rows.fetchrow("SELECT * FROM sessions WHERE session_id = $1", session_id)


async def live_tokens(rows: Any, session_id: str) -> int:
    """Refresh tokens that would be accepted now."""
    count: int = await rows.fetchval(
        """
        SELECT count(*) FROM refresh_tokens JOIN sessions USING (session_id)
        WHERE session_id = $1 AND used_at IS NULL AND revoked_at IS NULL
        """,
        session_id,
    )
    return count


async def test_a_refresh_token_gives_the_next_pair_of_its_session(auth: Auth, rows: Any) -> None:
    first = (await auth.register()).tokens
    second = await auth.refresh(first.refresh_token)
    third = await auth.refresh(second.refresh_token)
    assert first.session_id == second.session_id == third.session_id
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert len({first.access_token, second.access_token, third.access_token}) == 3
    assert await live_tokens(rows, first.session_id) == 1
    identity = await auth.verifier.identity(f"Bearer {third.access_token}")
    assert identity.session_id == first.session_id


async def test_reuse_ends_the_family_at_once(auth: Auth, rows: Any) -> None:
    first = (await auth.register()).tokens
    second = await auth.refresh(first.refresh_token)
    third = await auth.refresh(second.refresh_token)
    for stolen in (first, second, third):
        refusal = await auth.refusal_of(auth.refresh(stolen.refresh_token))
        assert refusal.code is ErrorCode.REFRESH_TOKEN_INVALID
    session = await session_row(rows, first.session_id)
    assert (session["revoked_reason"], await live_tokens(rows, first.session_id)) == ("TOKEN_REUSED", 0)
    ended = await rows.fetch("SELECT * FROM audit_log WHERE action = 'session.ended'")
    assert [row["target"] for row in ended] == [first.session_id]


async def test_reuse_leaves_the_users_other_sessions_alone(auth: Auth) -> None:
    stolen = (await auth.register()).tokens
    other = (await auth.log_in("ada@example.org")).tokens
    await auth.refresh(stolen.refresh_token)
    await auth.refusal_of(auth.refresh(stolen.refresh_token))
    assert (await auth.refresh(other.refresh_token)).session_id == other.session_id


@pytest.mark.parametrize("at_once", [2, 20])
async def test_of_several_refreshes_at_once_one_wins_and_the_family_ends(
    auth: Auth, rows: Any, at_once: int
) -> None:
    for round_number in range(5):
        tokens = (await auth.register(f"user{round_number}@example.org")).tokens
        racers = (auth.refresh(tokens.refresh_token) for _ in range(at_once))
        outcomes = await asyncio.gather(*racers, return_exceptions=True)
        won = [outcome for outcome in outcomes if isinstance(outcome, auth_pb2.Tokens)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
        assert (len(won), len(lost)) == (1, at_once - 1)
        assert {error.code for error in lost} == {ErrorCode.REFRESH_TOKEN_INVALID}
        assert (await session_row(rows, tokens.session_id))["revoked_reason"] == "TOKEN_REUSED"
        assert await live_tokens(rows, tokens.session_id) == 0
        await auth.refusal_of(auth.refresh(won[0].refresh_token))


async def test_two_processes_agree_who_won(start_auth: StartAuth) -> None:
    one, two = await start_auth(), await start_auth()
    tokens = (await one.register()).tokens
    outcomes = await asyncio.gather(
        *(service.refresh(tokens.refresh_token) for service in (one, two) * 4), return_exceptions=True
    )
    assert sum(isinstance(outcome, auth_pb2.Tokens) for outcome in outcomes) == 1


async def test_the_database_refuses_a_second_live_token_in_a_family(auth: Auth, rows: Any) -> None:
    tokens = (await auth.register()).tokens
    with pytest.raises(asyncpg.UniqueViolationError):
        await rows.execute(
            """
            INSERT INTO refresh_tokens (token_hash, session_id, generation, expires_at)
            VALUES (decode(repeat('ab', 32), 'hex'), $1, 1, now() + interval '1 day')
            """,
            tokens.session_id,
        )


async def test_refresh_tokens_expire(auth: Auth, rows: Any) -> None:
    tokens = (await auth.register()).tokens
    assert tokens.refresh_expires_at / 1e6 - time.time() == pytest.approx(14 * 86_400, abs=60)
    await rows.execute("UPDATE refresh_tokens SET expires_at = now()")
    refusal = await auth.refusal_of(auth.refresh(tokens.refresh_token))
    assert refusal.code is ErrorCode.REFRESH_TOKEN_INVALID


async def test_a_session_ends_however_often_it_is_refreshed(start_auth: StartAuth, rows: Any) -> None:
    auth = await start_auth(session_days=1, refresh_token_days=14)
    tokens = (await auth.register()).tokens
    assert tokens.refresh_expires_at / 1e6 - time.time() == pytest.approx(86_400, abs=60)
    await rows.execute("UPDATE sessions SET expires_at = now()")
    refusal = await auth.refusal_of(auth.refresh(tokens.refresh_token))
    assert refusal.code is ErrorCode.REFRESH_TOKEN_INVALID


@pytest.mark.parametrize("end_by", ["access token", "refresh token", "used refresh token"])
async def test_logging_out_ends_the_session_and_may_be_repeated(auth: Auth, rows: Any, end_by: str) -> None:
    first = (await auth.register()).tokens
    newest = await auth.refresh(first.refresh_token)
    request = {
        "access token": auth_pb2.LogOutRequest(),
        "refresh token": auth_pb2.LogOutRequest(refresh_token=newest.refresh_token),
        "used refresh token": auth_pb2.LogOutRequest(refresh_token=first.refresh_token),
    }[end_by]
    token = newest.access_token if end_by == "access token" else ""
    for _ in range(2):
        await auth.ask("LogOut", request, token=token)
    assert (await session_row(rows, first.session_id))["revoked_reason"] == "LOGGED_OUT"
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'session.ended'") == 1
    await auth.refusal_of(auth.refresh(newest.refresh_token))


async def test_logging_out_needs_a_token_of_either_kind(auth: Auth) -> None:
    refusal = await auth.refusal_of(auth.ask("LogOut", auth_pb2.LogOutRequest()))
    assert refusal.code is ErrorCode.UNAUTHENTICATED
    unknown = auth_pb2.LogOutRequest(refresh_token="pmr_" + "A" * 43)
    assert await auth.ask("LogOut", unknown) == auth_pb2.LogOutResponse()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "pmr_",
        "pmr_" + "A" * 42,
        "pmr_" + "A" * 44,
        "pmr_" + "é" * 43,
        "pmr_" + "A" * 42 + "\0",
        "A" * 10**6,
    ],
)
async def test_what_is_no_refresh_token_is_a_bad_field(auth: Auth, bad: str) -> None:
    refusal = await auth.refusal_of(auth.refresh(bad))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [field.pointer for field in refusal.fields] == ["/refresh_token"]


async def test_an_access_token_does_not_refresh_and_a_refresh_token_does_not_open(auth: Auth) -> None:
    tokens = (await auth.register()).tokens
    assert (await auth.refusal_of(auth.refresh(tokens.access_token))).code is ErrorCode.INVALID_ARGUMENT
    refusal = await auth.refusal_of(auth.ask("GetMe", auth_pb2.GetMeRequest(), token=tokens.refresh_token))
    assert refusal.code is ErrorCode.UNAUTHENTICATED


async def test_unknown_used_and_expired_look_the_same(auth: Auth) -> None:
    tokens = (await auth.register()).tokens
    await auth.refresh(tokens.refresh_token)
    used = await auth.refusal_of(auth.refresh(tokens.refresh_token))
    unknown = await auth.refusal_of(auth.refresh("pmr_" + "A" * 43))
    assert (used.code, used.message, used.details) == (unknown.code, unknown.message, unknown.details)


async def test_the_suspended_refresh_no_more(auth: Auth, rows: Any) -> None:
    tokens = (await auth.register()).tokens
    await rows.execute("UPDATE users SET status = 'suspended' WHERE role = 'user'")
    refusal = await auth.refusal_of(auth.refresh(tokens.refresh_token))
    assert refusal.code is ErrorCode.ACCOUNT_SUSPENDED


async def test_a_changed_role_is_in_the_next_access_token(auth: Auth, rows: Any) -> None:
    tokens = (await auth.register()).tokens
    await rows.execute("UPDATE users SET role = 'analyst' WHERE role = 'user'")
    newer = await auth.refresh(tokens.refresh_token)
    assert (await auth.verifier.identity(f"Bearer {newer.access_token}")).role == "analyst"


async def test_open_sessions_are_bounded_and_the_oldest_goes_first(auth: Auth, rows: Any) -> None:
    user_id = uuid.UUID((first := await auth.register()).user.user_id)
    await rows.execute(
        """
        INSERT INTO sessions (session_id, user_id, last_used_at, expires_at)
        SELECT gen_random_uuid(), $1, now() + interval '1 minute', now() + interval '1 day'
        FROM generate_series(2, $2)
        """,
        user_id,
        SESSIONS_MAX,
    )
    await auth.log_in("ada@example.org")
    ended = await session_row(rows, first.tokens.session_id)
    assert ended["revoked_reason"] == "TOO_MANY_SESSIONS"
    open_sessions = await rows.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
    assert open_sessions == SESSIONS_MAX
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'session.ended'") == 1
