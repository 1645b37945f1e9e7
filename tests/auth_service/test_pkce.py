"""PKCE: a code works once, for a minute, for the client, redirect URI and verifier it was made for."""

import asyncio
import base64
import hashlib
import secrets
from typing import Any

import pytest

from predmarket.auth.v1 import auth_pb2
from runtime.errors import ApiError, ErrorCode
from tests.auth_service.support import Auth, make_admin

REDIRECT = "http://localhost:5173/auth/callback"
INVALID = ErrorCode.AUTHORIZATION_CODE_INVALID


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


async def authorize(auth: Auth, token: str, verifier: str, **changes: str) -> auth_pb2.AuthorizeResponse:
    fields = {
        "client_id": "web",
        "redirect_uri": REDIRECT,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    request = auth_pb2.AuthorizeRequest(**{**fields, **changes})
    response: auth_pb2.AuthorizeResponse = await auth.ask("Authorize", request, token=token)
    return response


async def exchange(auth: Auth, code: str, verifier: str, **changes: str) -> auth_pb2.ExchangeCodeResponse:
    fields = {"client_id": "web", "redirect_uri": REDIRECT, "code": code, "code_verifier": verifier}
    request = auth_pb2.ExchangeCodeRequest(**{**fields, **changes})
    response: auth_pb2.ExchangeCodeResponse = await auth.ask("ExchangeCode", request)
    return response


def new_verifier() -> str:
    return secrets.token_urlsafe(48)


async def test_a_code_opens_a_session_of_its_own_for_the_same_user(auth: Auth) -> None:
    first = await auth.register()
    verifier = new_verifier()
    code = await authorize(auth, first.tokens.access_token, verifier)
    assert code.redirect_uri == REDIRECT
    answer = await exchange(auth, code.code, verifier, user_agent="cli")
    assert answer.user == first.user
    assert answer.tokens.session_id != first.tokens.session_id
    identity = await auth.verifier.identity(f"Bearer {answer.tokens.access_token}")
    assert identity.user_id == first.user.user_id
    await auth.refresh(answer.tokens.refresh_token)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("code_challenge", {"code_challenge": ""}),
        ("code_challenge", {"code_challenge": "A" * 42}),
        ("code_challenge", {"code_challenge": "A" * 44}),
        ("code_challenge", {"code_challenge": "=" * 43}),
        ("code_challenge_method", {"code_challenge_method": "plain"}),
        ("code_challenge_method", {"code_challenge_method": ""}),
        ("code_challenge_method", {"code_challenge_method": "s256"}),
        ("client_id", {"client_id": "stranger"}),
        ("client_id", {"client_id": ""}),
        ("redirect_uri", {"redirect_uri": "http://evil.example/callback"}),
        ("redirect_uri", {"redirect_uri": REDIRECT + "/"}),
        ("redirect_uri", {"redirect_uri": "http://127.0.0.1:8976/callback"}),  # another client's
        ("redirect_uri", {"redirect_uri": ""}),
    ],
)
async def test_what_is_not_allowed_gets_no_code(auth: Auth, field: str, changes: dict[str, str]) -> None:
    token = (await auth.register()).tokens.access_token
    refusal = await auth.refusal_of(authorize(auth, token, new_verifier(), **changes))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [bad.pointer for bad in refusal.fields] == [f"/{field}"]


async def test_only_a_person_with_an_open_session_allows(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    key = await auth.api_key(token)
    nobody = await auth.refusal_of(authorize(auth, "", new_verifier()))
    bot = await auth.refusal_of(authorize(auth, key.secret, new_verifier()))
    assert (nobody.code, bot.code) == (ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN)
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=token)
    over = await auth.refusal_of(authorize(auth, token, new_verifier()))
    assert over.code is ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "B" * 43},
        {"client_id": "cli"},
        {"redirect_uri": "http://localhost:3000/auth/callback"},
    ],
)
async def test_a_wrong_attempt_is_refused_and_spends_the_code(auth: Auth, changes: dict[str, str]) -> None:
    token = (await auth.register()).tokens.access_token
    verifier = new_verifier()
    code = (await authorize(auth, token, verifier)).code
    wrong = await auth.refusal_of(exchange(auth, code, verifier, **changes))
    right = await auth.refusal_of(exchange(auth, code, verifier))
    assert (wrong.code, right.code) == (INVALID, INVALID)
    assert (wrong.message, wrong.details) == (right.message, right.details)


@pytest.mark.parametrize("verifier", ["", "A" * 42, "A" * 129, "A" * 42 + "é", "A" * 42 + " "])
async def test_what_can_be_no_verifier_is_a_bad_field(auth: Auth, verifier: str) -> None:
    refusal = await auth.refusal_of(exchange(auth, "pma_" + "A" * 43, verifier))
    assert [bad.pointer for bad in refusal.fields] == ["/code_verifier"]


async def test_an_unknown_code_and_an_old_one_are_refused(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    verifier = new_verifier()
    code = (await authorize(auth, token, verifier)).code
    await rows.execute("UPDATE authorization_codes SET expires_at = now()")
    for candidate in (code, "pma_" + "A" * 43):
        assert (await auth.refusal_of(exchange(auth, candidate, verifier))).code is INVALID


async def test_a_code_lives_a_minute_and_is_stored_as_a_hash(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    code = (await authorize(auth, token, new_verifier())).code
    row = await rows.fetchrow("SELECT code_hash, expires_at - now() AS left FROM authorization_codes")
    assert row["code_hash"] == hashlib.sha256(code.encode()).digest()
    assert 50 < row["left"].total_seconds() <= 60


async def test_a_code_used_twice_ends_the_session_it_opened(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    verifier = new_verifier()
    code = (await authorize(auth, token, verifier)).code
    opened = (await exchange(auth, code, verifier)).tokens
    assert (await auth.refusal_of(exchange(auth, code, verifier))).code is INVALID
    reason = await rows.fetchval(
        "SELECT revoked_reason FROM sessions WHERE session_id = $1", opened.session_id
    )
    assert reason == "CODE_REUSED"
    refusal = await auth.refusal_of(auth.refresh(opened.refresh_token))
    assert refusal.code is ErrorCode.REFRESH_TOKEN_INVALID


async def test_of_many_exchanges_at_once_one_wins(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    verifier = new_verifier()
    code = (await authorize(auth, token, verifier)).code
    outcomes = await asyncio.gather(
        *(exchange(auth, code, verifier) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, auth_pb2.ExchangeCodeResponse) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ApiError) and outcome.code is INVALID for outcome in outcomes) == 9


async def test_a_code_is_worth_nothing_once_the_session_that_allowed_it_is_over(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    verifier = new_verifier()
    code = (await authorize(auth, token, verifier)).code
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=token)
    assert (await auth.refusal_of(exchange(auth, code, verifier))).code is INVALID


async def test_the_suspended_get_nothing_for_a_code(auth: Auth, rows: Any) -> None:
    admin = await make_admin(auth, rows)
    ada = await auth.register()
    verifier = new_verifier()
    code = (await authorize(auth, ada.tokens.access_token, verifier)).code
    request = auth_pb2.SuspendUserRequest(user_id=ada.user.user_id, reason="spam")
    await auth.admin("SuspendUser", request, admin.tokens.access_token)
    assert (await auth.refusal_of(exchange(auth, code, verifier))).code is INVALID
