"""Another password: by the current one, or by a mailed token. Neither says who has an account."""

import asyncio
import hashlib
import re
import time
from statistics import median
from typing import Any

import pytest

from predmarket.auth.v1 import auth_pb2
from runtime.errors import ApiError, ErrorCode
from tests.auth_service.conftest import StartAuth
from tests.auth_service.support import PASSWORD, Auth, make_admin, refused_within

NEW = "another Kite 9"
TOKEN = re.compile(r"pmp_[A-Za-z0-9_-]{43}")


async def change(auth: Auth, token: str, **changes: str) -> auth_pb2.ChangePasswordResponse:
    fields = {"current_password": PASSWORD, "new_password": NEW, **changes}
    response: auth_pb2.ChangePasswordResponse = await auth.ask(
        "ChangePassword", auth_pb2.ChangePasswordRequest(**fields), token=token
    )
    return response


async def forgotten(auth: Auth, email: str = "ada@example.org", mails: int = 1) -> str:
    """The token of the newest mail."""
    await auth.ask("ForgotPassword", auth_pb2.ForgotPasswordRequest(email=email))
    found = TOKEN.search((await auth.mails(mails))[-1])
    assert found is not None
    return found[0]


async def reset(auth: Auth, token: str, new: str = NEW, key: str = "") -> auth_pb2.ResetPasswordResponse:
    request = auth_pb2.ResetPasswordRequest(token=token, new_password=new, idempotency_key=key)
    response: auth_pb2.ResetPasswordResponse = await auth.ask("ResetPassword", request)
    return response


async def test_a_changed_password_ends_the_other_sessions_and_keeps_this_one(auth: Auth, rows: Any) -> None:
    mine = (await auth.register()).tokens
    other = (await auth.log_in("ada@example.org")).tokens
    key = await auth.api_key(mine.access_token)
    assert (await change(auth, mine.access_token)).sessions_ended == 1
    await auth.log_in("ada@example.org", NEW)
    old = await auth.refusal_of(auth.log_in("ada@example.org"))
    assert old.code is ErrorCode.INVALID_CREDENTIALS
    await auth.refresh(mine.refresh_token)
    await auth.refusal_of(auth.refresh(other.refresh_token))
    await refused_within(auth.verifier, other.access_token, 50)
    await auth.verifier.identity(f"Bearer {key.secret}")
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'password.changed'") == 1
    [mail] = await auth.mails(1)
    assert "To: ada@example.org" in mail
    assert "changed" in mail


async def test_a_wrong_current_password_changes_nothing(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    refusal = await auth.refusal_of(change(auth, token, current_password="not my password"))
    assert refusal.code is ErrorCode.INVALID_CREDENTIALS
    await auth.log_in("ada@example.org")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("new_password", {"new_password": "x7#kLm2"}),  # 7
        ("new_password", {"new_password": "kV7#qLm2" * 8 + "x"}),  # 65
        ("new_password", {"new_password": "password1"}),
        ("new_password", {"new_password": "ada@example.org"}),
        ("new_password", {"new_password": "a\0bcdefgh"}),
        ("current_password", {"current_password": ""}),
        ("current_password", {"current_password": "x" * 65}),
        ("current_password", {"current_password": "x" * 10**6}),
    ],
)
async def test_what_is_no_password_is_a_bad_field(auth: Auth, field: str, changes: dict[str, str]) -> None:
    token = (await auth.register()).tokens.access_token
    refusal = await auth.refusal_of(change(auth, token, **changes))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [bad.pointer for bad in refusal.fields] == [f"/{field}"]


@pytest.mark.parametrize("new", ["kV7#qLm2", "kV7#qLm2" * 8])
async def test_eight_and_sixty_four_characters_are_a_password(auth: Auth, new: str) -> None:
    registered = await auth.register()
    await change(auth, registered.tokens.access_token, new_password=new)
    assert (await auth.log_in("ada@example.org", new)).user.user_id == registered.user.user_id


async def test_of_two_changes_at_once_one_wins(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    outcomes = await asyncio.gather(
        *(change(auth, token, new_password=f"another Kite {number}") for number in range(4)),
        return_exceptions=True,
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert [error.code for error in lost] == [ErrorCode.INVALID_CREDENTIALS] * 3


async def test_a_mailed_token_resets_the_password_once_and_ends_every_session(auth: Auth, rows: Any) -> None:
    mine = (await auth.register()).tokens
    token = await forgotten(auth)
    row = await rows.fetchrow("SELECT token_hash, expires_at - now() AS left FROM password_resets")
    assert row["token_hash"] == hashlib.sha256(token.encode()).digest()
    assert 29 * 60 < row["left"].total_seconds() <= 30 * 60
    assert (await reset(auth, token)).sessions_ended == 1
    await auth.log_in("ada@example.org", NEW)
    await auth.refusal_of(auth.refresh(mine.refresh_token))
    await refused_within(auth.verifier, mine.access_token, 50)
    again = await auth.refusal_of(reset(auth, token, "yet another Kite 9"))
    assert again.code is ErrorCode.RESET_TOKEN_INVALID


async def test_of_many_resets_with_one_token_one_wins(start_auth: StartAuth) -> None:
    auth = await start_auth(hashing_queue_max=100, hashing_queue_seconds=60)
    await auth.register()
    token = await forgotten(auth)
    outcomes = await asyncio.gather(
        *(reset(auth, token, f"another Kite {number}") for number in range(8)), return_exceptions=True
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert [error.code for error in lost] == [ErrorCode.RESET_TOKEN_INVALID] * 7


async def test_old_unknown_and_superseded_tokens_are_refused_alike(auth: Auth, rows: Any) -> None:
    mine = (await auth.register()).tokens
    token = await forgotten(auth)
    await change(auth, mine.access_token)  # which makes the mailed token worthless
    unknown = await auth.refusal_of(reset(auth, "pmp_" + "A" * 43))
    superseded = await auth.refusal_of(reset(auth, token))
    old = await forgotten(auth, mails=3)
    await rows.execute("UPDATE password_resets SET expires_at = now()")
    expired = await auth.refusal_of(reset(auth, old))
    assert {refusal.code for refusal in (unknown, superseded, expired)} == {ErrorCode.RESET_TOKEN_INVALID}
    assert unknown.message == superseded.message == expired.message


async def test_an_account_gets_three_mails_an_hour(auth: Auth) -> None:
    await auth.register()
    for _ in range(6):
        await auth.ask("ForgotPassword", auth_pb2.ForgotPasswordRequest(email="ada@example.org"))
    await auth.register("eve@example.org")
    await auth.ask("ForgotPassword", auth_pb2.ForgotPasswordRequest(email="eve@example.org"))
    mails = await auth.mails(4)  # in order: when Eve's is there, none of Ada's waits any more
    assert ["ada@" in mail for mail in mails] == [True, True, True, False]


async def test_forgetting_answers_the_same_in_the_same_time_for_known_and_unknown(auth: Auth) -> None:
    await auth.register()

    async def seconds(email: str) -> float:
        began = time.perf_counter()
        answer = await auth.ask("ForgotPassword", auth_pb2.ForgotPasswordRequest(email=email))
        assert answer == auth_pb2.ForgotPasswordResponse()
        return time.perf_counter() - began

    known, unknown = [], []
    for _ in range(41):  # in turns, so that both meet the same machine
        known.append(await seconds("ada@example.org"))
        unknown.append(await seconds("eve@example.org"))
    assert abs(median(known) - median(unknown)) < max(0.002, 0.5 * median(unknown))


async def test_the_suspended_and_the_unknown_get_no_mail(auth: Auth, rows: Any) -> None:
    admin = await make_admin(auth, rows)
    ada = await auth.register()
    token = await forgotten(auth)
    request = auth_pb2.SuspendUserRequest(user_id=ada.user.user_id, reason="spam")
    await auth.admin("SuspendUser", request, admin.tokens.access_token)
    for email in ("ada@example.org", "nobody@example.org", "root@example.org"):
        await auth.ask("ForgotPassword", auth_pb2.ForgotPasswordRequest(email=email))
    mails = await auth.mails(2)
    assert "To: root@example.org" in mails[1]
    assert (await auth.refusal_of(reset(auth, token))).code is ErrorCode.RESET_TOKEN_INVALID


async def test_the_link_carries_the_token_in_its_fragment(start_auth: StartAuth) -> None:
    auth = await start_auth(password_reset_url="https://play.example/reset")
    await auth.register()
    token = await forgotten(auth)
    assert f"https://play.example/reset#token={token}" in (await auth.mails(1))[0]


async def test_the_log_tells_of_a_mail_without_its_token(auth: Auth, capfd: Any) -> None:
    await auth.register()
    token = await forgotten(auth)
    await reset(auth, token)
    await auth.mails(2)
    printed = "".join(capfd.readouterr())
    assert "a mail was written to the mail folder" in printed
    assert token not in printed
    assert "ada@example.org" not in printed


@pytest.mark.parametrize("token", ["", "x", "pmp_" + "A" * 42, "pmr_" + "A" * 43, "A" * 10**6])
async def test_what_is_no_token_is_a_bad_field(auth: Auth, token: str) -> None:
    refusal = await auth.refusal_of(reset(auth, token))
    assert [bad.pointer for bad in refusal.fields] == ["/token"]
