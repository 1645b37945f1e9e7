"""Making an account."""

import asyncio
import hashlib
from typing import Any

import grpc
import pytest

from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from tests.auth_service.support import PASSWORD, Auth, raw_call


async def test_who_registers_has_an_account_a_session_and_points(auth: Auth, rows: Any) -> None:
    answer = await auth.register("Ada@Example.org", display_name=" Ada  L. ", user_agent="curl/8.5")
    user = answer.user
    assert (user.email, user.display_name) == ("Ada@example.org", "Ada L.")
    assert (user.role, user.status) == (auth_pb2.ROLE_USER, auth_pb2.ACCOUNT_STATUS_ACTIVE)
    assert user.granted
    me = await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=answer.tokens.access_token)
    assert me.user == user
    row = await rows.fetchrow("SELECT * FROM users WHERE email = 'Ada@example.org'")
    assert str(row["user_id"]) == user.user_id
    assert row["password_hash"].startswith("$argon2id$")
    assert row["grant_micros"] == 10_000_000_000
    assert PASSWORD not in str(dict(row))


async def test_without_a_name_one_is_made_up(auth: Auth) -> None:
    assert (await auth.register()).user.display_name.startswith("trader-")


async def test_an_address_is_taken_in_any_case(auth: Auth, rows: Any) -> None:
    await auth.register("ada@example.org")
    for again in ("ada@example.org", "ADA@EXAMPLE.ORG", " Ada@example.org "):
        refusal = await auth.refusal_of(auth.register(again))
        assert refusal.code is ErrorCode.EMAIL_TAKEN
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'user'") == 1


async def test_of_two_who_want_one_address_at_once_one_gets_it(auth: Auth, rows: Any) -> None:
    attempts = [auth.register(email) for email in ("eve@example.org", "EVE@example.org") * 3]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'user'") == 1
    assert await rows.fetchval("SELECT count(*) FROM sessions") == 1


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("email", {"email": ""}),
        ("email", {"email": "ada"}),
        ("email", {"email": "ada@example.org\0"}),
        ("email", {"email": "a" * 1_000_000 + "@example.org"}),
        ("email", {"email": "ada@exämple.org"}),
        ("email", {"email": "'; DROP TABLE users; --"}),
        ("password", {"password": ""}),
        ("password", {"password": "kV7#qLm"}),
        ("password", {"password": "kV7#qLm2" * 8 + "x"}),
        ("password", {"password": "kV7#qLm2w\0"}),
        ("password", {"password": "x" * 1_000_000}),
        ("password", {"password": "password1"}),
        ("password", {"password": "ada@example.org"}),
        ("display_name", {"display_name": "x" * 51}),
        ("display_name", {"display_name": "a\u202eb"}),
        ("display_name", {"display_name": " "}),
        ("display_name", {"display_name": "x" * 1_000_000}),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_made(
    auth: Auth, rows: Any, field: str, fields: dict[str, str]
) -> None:
    refusal = await auth.refusal_of(auth.register(**{"email": "ada@example.org", **fields}))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [bad.pointer for bad in refusal.fields] == [f"/{field}"]
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'user'") == 0


@pytest.mark.parametrize(
    "password", ["kV7#qLm2", "kV7#qLm2" * 8, "密码密码很长的密码", "'; DROP TABLE users; --"]
)
async def test_passwords_at_the_bounds_work(auth: Auth, password: str) -> None:
    registered = await auth.register(password=password)
    assert (await auth.log_in("ada@example.org", password)).user.user_id == registered.user.user_id


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x03\xff\xfe\xfd",  # an e-mail that is not UTF-8
        b"\x0a\x03\xed\xa0\x80",  # a lone surrogate
        b"\x0a\x7f\x61",  # truncated
        b"\xff" * 100,
    ],
)
@pytest.mark.parametrize("method", ["Register", "LogIn", "Refresh"])
async def test_bytes_that_are_no_message_are_refused_without_an_internal_error(
    auth: Auth, method: str, body: bytes
) -> None:
    assert await raw_call(auth, method, body) is grpc.StatusCode.INVALID_ARGUMENT


async def test_five_megabytes_are_refused_before_they_are_read(auth: Auth) -> None:
    body = auth_pb2.RegisterRequest(email="a" * 5_000_000).SerializeToString()
    assert await raw_call(auth, "Register", body) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_smuggled_field_changes_nothing(auth: Auth) -> None:
    smuggled = auth_pb2.RegisterRequest(email="eve@example.org", password=PASSWORD).SerializeToString()
    smuggled += b"\x92\x03\x05admin"  # an unknown field 50
    assert await raw_call(auth, "Register", smuggled) is grpc.StatusCode.OK
    assert (await auth.log_in("eve@example.org")).user.role == auth_pb2.ROLE_USER


async def test_registering_leaves_its_trace_and_no_secret_anywhere(auth: Auth, rows: Any) -> None:
    answer = await auth.register(user_agent="curl/8.5")
    audit = await rows.fetch(
        "SELECT * FROM audit_log WHERE actor_id = $1 ORDER BY audit_id", answer.user.user_id
    )
    assert [row["action"] for row in audit] == ["user.registered", "session.opened"]
    assert [row["target"] for row in audit] == [answer.user.user_id, answer.tokens.session_id]
    stored = [
        dict(row)
        for table in ("audit_log", "sessions", "users")
        for row in await rows.fetch(f"TABLE {table}")
    ]
    tokens = await rows.fetch("TABLE refresh_tokens")
    assert answer.tokens.refresh_token not in str([*stored, *(dict(row) for row in tokens)])
    hashed = hashlib.sha256(answer.tokens.refresh_token.encode()).digest()
    assert [row["token_hash"] for row in tokens] == [hashed]
