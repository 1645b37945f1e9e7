"""Idempotency keys: one effect, the first answer again, another request refused, no secret stored."""

import asyncio
from typing import Any

import pytest

from auth_service.housekeeping import delete_round
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ApiError, ErrorCode
from runtime.postgres import open_pool
from tests.auth_service.conftest import StartAuth
from tests.auth_service.support import PASSWORD, Auth, make_admin

REUSED = ErrorCode.IDEMPOTENCY_KEY_REUSED


async def test_a_registration_asked_again_makes_no_second_account(auth: Auth, rows: Any) -> None:
    first = await auth.register(display_name="Ada", idempotency_key="k1", user_agent="one")
    again = await auth.register(display_name="Ada", idempotency_key="k1", user_agent="two")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.user.user_id == first.user.user_id
    assert again.tokens.session_id != first.tokens.session_id
    await auth.refresh(again.tokens.refresh_token)
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'user'") == 1


@pytest.mark.parametrize(
    "changes", [{"password": "another Kite 9"}, {"display_name": "Eve"}, {"idempotency_key": "k2"}]
)
async def test_another_registration_is_none_of_the_first_ones(auth: Auth, changes: dict[str, str]) -> None:
    fields = {"display_name": "Ada", "idempotency_key": "k1"}
    await auth.register(**fields)
    refusal = await auth.refusal_of(auth.register(**{**fields, **changes}))
    assert refusal.code is (ErrorCode.EMAIL_TAKEN if "idempotency_key" in changes else REUSED)


async def test_registration_keys_belong_to_the_address(auth: Auth) -> None:
    one = await auth.register("ada@example.org", idempotency_key="1")
    two = await auth.register("eve@example.org", idempotency_key="1")
    assert not two.replayed
    assert one.user.user_id != two.user.user_id


async def test_many_registrations_at_once_with_one_key_make_one_account(
    start_auth: StartAuth, rows: Any
) -> None:
    one, two = (
        await start_auth(hashing_queue_max=100, hashing_queue_seconds=60),
        await start_auth(hashing_queue_max=100, hashing_queue_seconds=60),
    )
    answers = await asyncio.gather(*(each.register(idempotency_key="k") for each in (one, two) * 5))
    assert len({answer.user.user_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'user'") == 1


async def test_no_password_and_no_plain_hash_of_one_is_stored(auth: Auth, rows: Any) -> None:
    await auth.register(idempotency_key="k")
    row = await rows.fetchrow("SELECT * FROM account_writes")
    assert row["secret_hash"].startswith("$argon2id$")
    assert PASSWORD not in str(dict(row))
    other = await auth.register("eve@example.org", password="another Kite 9", idempotency_key="k")
    assert other.user
    hashes = await rows.fetch("SELECT request_hash FROM account_writes")
    assert (
        hashes[0] == hashes[1]
    )  # nothing in it depends on the password (nor on the address, which owns the key)


async def test_a_key_made_again_is_the_same_without_its_secret(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    first = await auth.api_key(token, idempotency_key="k")
    again = await auth.api_key(token, idempotency_key="k")
    assert (again.replayed, again.secret, again.api_key) == (True, "", first.api_key)
    assert await rows.fetchval("SELECT count(*) FROM api_keys") == 1
    answers = await rows.fetch("SELECT answer FROM account_writes")
    assert all(first.secret[-43:].encode() not in row["answer"] for row in answers)
    refusal = await auth.refusal_of(auth.api_key(token, name="other", idempotency_key="k"))
    assert refusal.code is REUSED


async def test_many_at_once_make_one_key(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    answers = await asyncio.gather(*(auth.api_key(token, idempotency_key="k") for _ in range(10)))
    assert len({answer.api_key.api_key_id for answer in answers}) == 1
    assert sum(bool(answer.secret) for answer in answers) == 1
    assert await rows.fetchval("SELECT count(*) FROM api_keys") == 1


async def test_keys_of_two_users_are_two(auth: Auth) -> None:
    tokens = [(await auth.register(f"u{number}@example.org")).tokens.access_token for number in range(2)]
    answers = [await auth.api_key(token, idempotency_key="k") for token in tokens]
    assert all(answer.secret for answer in answers)


async def test_one_key_is_not_for_two_operations(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    await auth.api_key(token, idempotency_key="k")
    request = auth_pb2.UpdateMeRequest(display_name="x", idempotency_key="k")
    assert (await auth.refusal_of(auth.ask("UpdateMe", request, token=token))).code is REUSED


async def test_a_refusal_stores_nothing(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    bad = auth_pb2.UpdateMeRequest(display_name="", idempotency_key="k")
    assert (await auth.refusal_of(auth.ask("UpdateMe", bad, token=token))).code is ErrorCode.INVALID_ARGUMENT
    good = auth_pb2.UpdateMeRequest(display_name="Ada", idempotency_key="k")
    answer = await auth.ask("UpdateMe", good, token=token)
    assert (answer.user.display_name, answer.replayed) == ("Ada", False)


async def test_the_first_answer_is_given_again_whatever_happened_since(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    first = auth_pb2.UpdateMeRequest(display_name="One", idempotency_key="k")
    await auth.ask("UpdateMe", first, token=token)
    await auth.ask("UpdateMe", auth_pb2.UpdateMeRequest(display_name="Two"), token=token)
    again = await auth.ask("UpdateMe", first, token=token)
    assert (again.user.display_name, again.replayed) == ("One", True)
    me = await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token)
    assert me.user.display_name == "Two"


async def test_a_password_changed_twice_with_one_key_is_changed_once(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    fields = {"current_password": PASSWORD, "new_password": "another Kite 9", "idempotency_key": "k"}
    for is_replay in (False, True):
        answer = await auth.ask("ChangePassword", auth_pb2.ChangePasswordRequest(**fields), token=token)
        assert answer.replayed is is_replay
    other = auth_pb2.ChangePasswordRequest(**{**fields, "new_password": "yet another 9"})
    assert (await auth.refusal_of(auth.ask("ChangePassword", other, token=token))).code is REUSED
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'password.changed'") == 1
    await auth.log_in("ada@example.org", "another Kite 9")


async def test_a_suspension_asked_again_gets_the_first_answer(auth: Auth, rows: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    ada = (await auth.register()).user.user_id
    request = auth_pb2.SuspendUserRequest(user_id=ada, reason="spam", idempotency_key="k")
    first = await auth.admin("SuspendUser", request, admin)
    await auth.admin("RestoreUser", auth_pb2.RestoreUserRequest(user_id=ada, reason="oops"), admin)
    again = await auth.admin("SuspendUser", request, admin)
    assert (again.replayed, again.user) == (True, first.user)
    assert await rows.fetchval("SELECT status FROM users WHERE user_id = $1", ada) == "active"


async def test_a_session_ended_again_is_a_replay(auth: Auth) -> None:
    tokens = (await auth.register()).tokens
    other = (await auth.log_in("ada@example.org")).tokens
    request = auth_pb2.RevokeSessionRequest(session_id=other.session_id, idempotency_key="k")
    answers = [await auth.ask("RevokeSession", request, token=tokens.access_token) for _ in range(2)]
    assert [answer.replayed for answer in answers] == [False, True]


async def test_keys_and_what_else_had_its_time_are_deleted_and_the_rest_is_kept(
    auth: Auth, rows: Any, fresh_database: Any
) -> None:
    tokens = (await auth.register(idempotency_key="old")).tokens
    await rows.execute("UPDATE account_writes SET created_at = now() - interval '3 days'")
    await auth.api_key(tokens.access_token, idempotency_key="new")
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=tokens.access_token)
    await rows.execute(
        "UPDATE sessions SET revoked_at = now() - interval '31 days' WHERE session_id = $1", tokens.session_id
    )
    kept = (await auth.log_in("ada@example.org")).tokens
    async with open_pool(fresh_database.url_for("pm_auth"), name="test", min_size=1) as pool:
        await delete_round(pool)
    assert [row["key"] for row in await rows.fetch("SELECT key FROM account_writes")] == ["new"]
    assert await rows.fetchval("SELECT count(*) FROM sessions") == 1
    assert await rows.fetchval("SELECT count(*) FROM refresh_tokens") == 1
    assert await rows.fetchval("SELECT count(*) FROM token_changes") == 1  # still matters
    await auth.refresh(kept.refresh_token)


async def test_a_lost_race_is_an_answer_and_never_an_internal_error(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    requests = [
        auth_pb2.UpdateMeRequest(display_name=f"n{number % 2}", idempotency_key="k") for number in range(12)
    ]
    outcomes = await asyncio.gather(
        *(auth.ask("UpdateMe", request, token=token) for request in requests), return_exceptions=True
    )
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, ApiError)}
    assert codes == {REUSED}
    assert sum(isinstance(outcome, auth_pb2.UpdateMeResponse) for outcome in outcomes) == 6
