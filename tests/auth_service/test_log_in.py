"""Logging in: what is told, what is not, and how long either takes."""

import asyncio
import time
from statistics import median
from typing import Any

import pytest
from argon2 import PasswordHasher

from predmarket.auth.v1 import auth_pb2
from runtime.errors import ApiError, ErrorCode
from tests.auth_service.conftest import StartAuth
from tests.auth_service.support import PASSWORD, Auth

EXPENSIVE = {"argon2_time_cost": 2, "argon2_memory_kib": 16_384}


async def test_the_right_password_opens_a_session(auth: Auth, rows: Any) -> None:
    registered = await auth.register("Ada@example.org")
    for email in ("Ada@example.org", "ada@EXAMPLE.org", " ADA@example.org "):
        answer = await auth.log_in(email, user_agent="\x1b[31mcurl\r\n")
        assert answer.user == registered.user
        assert answer.tokens.session_id != registered.tokens.session_id
        session = await rows.fetchrow(
            "SELECT * FROM sessions WHERE session_id = $1", answer.tokens.session_id
        )
        assert session["user_agent"] == "[31mcurl"
    opened = await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'session.opened'")
    assert opened == 4


async def test_a_password_counts_in_upper_and_lower_case_and_to_its_last_character(auth: Auth) -> None:
    await auth.register(password="kV7#qLm2" * 8)
    for wrong in ("kV7#qLm2" * 7 + "kV7#qLm3", "KV7#qLm2" * 8, "kV7#qLm2" * 7, " " + "kV7#qLm2" * 7):
        refusal = await auth.refusal_of(auth.log_in("ada@example.org", wrong))
        assert refusal.code is ErrorCode.INVALID_CREDENTIALS


async def test_an_unknown_address_and_a_wrong_password_get_the_same_answer(auth: Auth) -> None:
    await auth.register("ada@example.org")
    wrong = await auth.refusal_of(auth.log_in("ada@example.org", "not my password"))
    unknown = await auth.refusal_of(auth.log_in("eve@example.org", "not my password"))
    assert wrong.code is ErrorCode.INVALID_CREDENTIALS
    assert (wrong.code, wrong.message, wrong.details, wrong.fields) == (
        unknown.code,
        unknown.message,
        unknown.details,
        unknown.fields,
    )


async def test_an_unknown_address_and_a_wrong_password_take_the_same_time(start_auth: StartAuth) -> None:
    auth = await start_auth(**EXPENSIVE)
    await auth.register("ada@example.org")

    async def seconds(email: str) -> float:
        began = time.perf_counter()
        await auth.refusal_of(auth.log_in(email, "not my password"))
        return time.perf_counter() - began

    known, unknown = [], []
    for _ in range(9):
        known.append(await seconds("ada@example.org"))
        unknown.append(await seconds("eve@example.org"))
    assert 0.5 < median(known) / median(unknown) < 2.0
    assert median(unknown) > 0.005  # a hash was computed for nobody, too


@pytest.mark.parametrize(
    ("field", "email", "password"),
    [
        ("email", "", PASSWORD),
        ("email", "ada", PASSWORD),
        ("email", "a" * 10**6, PASSWORD),
        ("email", "ada@example.org\0", PASSWORD),
        ("email", "' OR 1=1 --", PASSWORD),
        ("password", "ada@example.org", ""),
        ("password", "ada@example.org", "x" * 65),
        ("password", "ada@example.org", "x" * 10**6),
        ("password", "ada@example.org", "kV7#qLm2w\0"),
        ("password", "eve@example.org", "x" * 65),
    ],
)
async def test_what_can_be_no_log_in_is_a_bad_field_for_anybody(
    auth: Auth, field: str, email: str, password: str
) -> None:
    await auth.register("ada@example.org")
    refusal = await auth.refusal_of(auth.log_in(email, password))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [bad.pointer for bad in refusal.fields] == [f"/{field}"]


@pytest.mark.parametrize("length", [7, 8, 64])
async def test_wrong_passwords_of_any_length_are_just_wrong(auth: Auth, length: int) -> None:
    await auth.register("ada@example.org")
    refusal = await auth.refusal_of(auth.log_in("ada@example.org", "x" * length))
    assert refusal.code is ErrorCode.INVALID_CREDENTIALS


async def test_the_suspended_learn_it_only_with_the_right_password(auth: Auth, rows: Any) -> None:
    await auth.register("ada@example.org")
    await rows.execute("UPDATE users SET status = 'suspended' WHERE role = 'user'")
    wrong = await auth.refusal_of(auth.log_in("ada@example.org", "not my password"))
    right = await auth.refusal_of(auth.log_in("ada@example.org"))
    assert (wrong.code, right.code) == (ErrorCode.INVALID_CREDENTIALS, ErrorCode.ACCOUNT_SUSPENDED)


async def test_the_treasury_cannot_log_in(auth: Auth, rows: Any) -> None:
    treasury = await rows.fetchrow("SELECT * FROM users WHERE role = 'treasury'")
    assert (treasury["email"], treasury["password_hash"]) == (None, None)
    refusal = await auth.refusal_of(auth.log_in("treasury@example.org"))
    assert refusal.code is ErrorCode.INVALID_CREDENTIALS


async def test_changed_parameters_rehash_the_password_at_its_next_log_in(auth: Auth, rows: Any) -> None:
    await auth.register("ada@example.org")
    weaker = PasswordHasher(time_cost=2, memory_cost=32, parallelism=1).hash(PASSWORD)
    await rows.execute("UPDATE users SET password_hash = $1 WHERE role = 'user'", weaker)
    await auth.refusal_of(auth.log_in("ada@example.org", "not my password"))
    assert await rows.fetchval("SELECT password_hash FROM users WHERE role = 'user'") == weaker
    await auth.log_in("ada@example.org")
    stronger = await rows.fetchval("SELECT password_hash FROM users WHERE role = 'user'")
    assert stronger.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    await auth.log_in("ada@example.org")
    assert await rows.fetchval("SELECT password_hash FROM users WHERE role = 'user'") == stronger


async def test_a_flood_is_refused_at_once_and_leaves_other_calls_alone(start_auth: StartAuth) -> None:
    auth = await start_auth(
        argon2_time_cost=4,
        argon2_memory_kib=65_536,
        hashing_workers=1,
        hashing_queue_max=3,
        hashing_queue_seconds=60,  # however slow a hash is here, the queue may be full
    )
    token = (await auth.register("ada@example.org")).tokens.access_token
    await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token)
    flood = [asyncio.create_task(auth.log_in(f"u{number}@example.org")) for number in range(60)]
    await asyncio.sleep(0.05)
    await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token)
    assert not all(task.done() for task in flood)
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, ApiError)]
    refused = [
        outcome
        for outcome in outcomes
        if isinstance(outcome, ApiError) and outcome.code is ErrorCode.OVERLOADED
    ]
    assert len(codes) == 60
    assert codes.count(ErrorCode.INVALID_CREDENTIALS) >= 4
    assert len(refused) >= 40
    assert all(int(refusal.details["retry_after_ms"]) >= 1_000 for refusal in refused)
