"""GetMe and UpdateMe: one's own account, and nobody else's."""

from typing import Any

import pytest

from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from tests.auth_service.support import Auth


async def test_the_display_name_can_be_changed_and_nothing_else(auth: Auth) -> None:
    answer = await auth.register(display_name="Ada")
    token = answer.tokens.access_token
    changed = await auth.ask("UpdateMe", auth_pb2.UpdateMeRequest(display_name="  Countess "), token=token)
    assert changed.user.display_name == "Countess"
    changed.user.display_name = "Ada"
    assert changed.user == answer.user
    unchanged = await auth.ask("UpdateMe", auth_pb2.UpdateMeRequest(), token=token)
    assert unchanged.user.display_name == "Countess"


@pytest.mark.parametrize("bad", ["", " ", "x" * 51, "a\0b", "a\u200fb", "x" * 10**6])
async def test_a_bad_display_name_changes_nothing(auth: Auth, bad: str) -> None:
    token = (await auth.register(display_name="Ada")).tokens.access_token
    refusal = await auth.refusal_of(
        auth.ask("UpdateMe", auth_pb2.UpdateMeRequest(display_name=bad), token=token)
    )
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [field.pointer for field in refusal.fields] == ["/display_name"]
    assert (await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token)).user.display_name == "Ada"


@pytest.mark.parametrize("method", ["GetMe", "UpdateMe"])
async def test_without_a_token_there_is_no_me(auth: Auth, method: str) -> None:
    request = auth_pb2.GetMeRequest() if method == "GetMe" else auth_pb2.UpdateMeRequest(display_name="Eve")
    assert (await auth.refusal_of(auth.ask(method, request))).code is ErrorCode.UNAUTHENTICATED


async def test_the_suspended_see_themselves_but_change_nothing(auth: Auth, rows: Any) -> None:
    token = (await auth.register(display_name="Ada")).tokens.access_token
    await rows.execute("UPDATE users SET status = 'suspended' WHERE role = 'user'")
    me = await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token)
    assert me.user.status == auth_pb2.ACCOUNT_STATUS_SUSPENDED
    refusal = await auth.refusal_of(
        auth.ask("UpdateMe", auth_pb2.UpdateMeRequest(display_name="Eve"), token=token)
    )
    assert refusal.code is ErrorCode.ACCOUNT_SUSPENDED


async def test_a_token_of_an_account_that_is_gone_is_no_token(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    await rows.execute("DELETE FROM sessions")
    await rows.execute("DELETE FROM users WHERE role = 'user'")
    for method, request in (
        ("GetMe", auth_pb2.GetMeRequest()),
        ("UpdateMe", auth_pb2.UpdateMeRequest(display_name="Eve")),
    ):
        refusal = await auth.refusal_of(auth.ask(method, request, token=token))
        assert refusal.code is ErrorCode.UNAUTHENTICATED
