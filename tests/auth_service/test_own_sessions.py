"""Sessions as their owner sees and ends them; ended ones are refused by every service within seconds."""

import uuid
from typing import Any

import pytest

from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from tests.auth_service.support import Auth, refused_within


async def listed(auth: Auth, token: str) -> list[auth_pb2.Session]:
    answer = await auth.ask("ListSessions", auth_pb2.ListSessionsRequest(), token=token)
    return list(answer.sessions)


async def test_open_sessions_are_listed_and_the_own_one_is_marked(auth: Auth) -> None:
    first = await auth.register(user_agent="phone")
    second = await auth.log_in("ada@example.org", user_agent="desk")
    await auth.register("eve@example.org")
    found = await listed(auth, second.tokens.access_token)
    assert [(each.user_agent, each.current) for each in found] == [("desk", True), ("phone", False)]
    assert {each.session_id for each in found} == {first.tokens.session_id, second.tokens.session_id}
    assert all(0 < each.created_at <= each.last_used_at < each.expires_at for each in found)


async def test_an_ended_session_is_refused_everywhere_within_seconds(auth: Auth, rows: Any) -> None:
    lost = (await auth.register()).tokens
    kept = (await auth.log_in("ada@example.org")).tokens
    await auth.verifier.identity(f"Bearer {lost.access_token}")
    request = auth_pb2.RevokeSessionRequest(session_id=lost.session_id)
    for _ in range(2):
        await auth.ask("RevokeSession", request, token=kept.access_token)
    await refused_within(auth.verifier, lost.access_token, 50)
    await auth.verifier.identity(f"Bearer {kept.access_token}")
    assert (await auth.refusal_of(auth.refresh(lost.refresh_token))).code is ErrorCode.REFRESH_TOKEN_INVALID
    assert [each.session_id for each in await listed(auth, kept.access_token)] == [kept.session_id]
    ended = await rows.fetch("SELECT target FROM audit_log WHERE action = 'session.ended'")
    assert [row["target"] for row in ended] == [lost.session_id]


async def test_sessions_of_others_are_not_found(auth: Auth) -> None:
    ada = (await auth.register()).tokens
    eve = (await auth.register("eve@example.org")).tokens
    for session_id in (ada.session_id, str(uuid.uuid4())):
        request = auth_pb2.RevokeSessionRequest(session_id=session_id)
        refusal = await auth.refusal_of(auth.ask("RevokeSession", request, token=eve.access_token))
        assert refusal.code is ErrorCode.NOT_FOUND
    await auth.refresh(ada.refresh_token)


@pytest.mark.parametrize("session_id", ["", "x", "0191E8A0-0000-7000-8000-000000000001"])
async def test_what_is_no_session_id_is_a_bad_field(auth: Auth, session_id: str) -> None:
    token = (await auth.register()).tokens.access_token
    request = auth_pb2.RevokeSessionRequest(session_id=session_id)
    refusal = await auth.refusal_of(auth.ask("RevokeSession", request, token=token))
    assert [bad.pointer for bad in refusal.fields] == ["/session_id"]


@pytest.mark.parametrize("current_too", [False, True])
async def test_all_others_end_at_once(auth: Auth, current_too: bool) -> None:
    mine = (await auth.register()).tokens
    others = [(await auth.log_in("ada@example.org")).tokens for _ in range(3)]
    request = auth_pb2.RevokeOtherSessionsRequest(current_too=current_too)
    answer = await auth.ask("RevokeOtherSessions", request, token=mine.access_token)
    assert answer.sessions_ended == 3 + current_too
    for other in others:
        await auth.refusal_of(auth.refresh(other.refresh_token))
    if current_too:
        await refused_within(auth.verifier, mine.access_token, 50)
    else:
        await auth.refresh(mine.refresh_token)


async def test_logging_out_ends_the_access_token_too(auth: Auth) -> None:
    tokens = (await auth.register()).tokens
    await auth.verifier.identity(f"Bearer {tokens.access_token}")
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=tokens.access_token)
    await refused_within(auth.verifier, tokens.access_token, 50)


async def test_after_logging_out_nothing_can_be_changed_at_once(auth: Auth) -> None:
    tokens = (await auth.register()).tokens
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=tokens.access_token)
    for attempt in (
        auth.api_key(tokens.access_token),
        auth.ask("UpdateMe", auth_pb2.UpdateMeRequest(display_name="eve"), token=tokens.access_token),
        auth.ask("RevokeOtherSessions", auth_pb2.RevokeOtherSessionsRequest(), token=tokens.access_token),
    ):
        assert (await auth.refusal_of(attempt)).code is ErrorCode.UNAUTHENTICATED
