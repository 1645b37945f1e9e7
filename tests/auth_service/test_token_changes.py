"""The feed of ended credentials: everything committed comes at least once, also what commits late."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from auth_service import token_changes
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from tests.auth_service.support import Auth


async def page(auth: Auth, cursor: str = "") -> auth_pb2.ListTokenChangesResponse:
    request = auth_pb2.ListTokenChangesRequest(cursor=cursor)
    response: auth_pb2.ListTokenChangesResponse = await auth.ask(
        "ListTokenChanges", request, service="CredentialService"
    )
    return response


async def read_on(auth: Auth, cursor: str) -> tuple[set[str], str]:
    """Sessions until there is no more, and where to go on."""
    found: set[str] = set()
    while True:
        answer = await page(auth, cursor)
        found |= {change.session_id for change in answer.changes}
        cursor = answer.next_cursor
        if not answer.more:
            return found, cursor


async def test_a_cursor_gives_what_came_since(auth: Auth) -> None:
    first = (await auth.register()).tokens
    second = (await auth.log_in("ada@example.org")).tokens
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=first.access_token)
    found, cursor = await read_on(auth, "")
    assert found == {first.session_id}
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=second.access_token)
    found, cursor = await read_on(auth, cursor)
    assert second.session_id in found
    found, _ = await read_on(auth, cursor)
    assert second.session_id not in found


async def test_a_change_that_commits_late_is_not_lost(auth: Auth, fresh_database: Any) -> None:
    late, early = uuid4(), uuid4()
    one = await asyncpg.connect(fresh_database.url_for("pm_auth"))
    two = await asyncpg.connect(fresh_database.url_for("pm_auth"))
    try:
        slow = one.transaction()
        await slow.start()
        await token_changes.note_sessions(one, [late])  # an older transaction, and an older number
        await token_changes.note_sessions(two, [early])
        found, cursor = await read_on(auth, "")
        assert str(early) in found
        assert str(late) not in found
        await slow.commit()
        found, cursor = await read_on(auth, cursor)
        assert str(late) in found
        found, _ = await read_on(auth, cursor)
        assert found == set()
    finally:
        await one.close()
        await two.close()


async def test_many_changes_come_in_pages_also_when_some_commit_in_between(
    auth: Auth, fresh_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_changes, "PAGE_MAX", 3)
    ids = [uuid4() for _ in range(10)]
    late: UUID = uuid4()
    one = await asyncpg.connect(fresh_database.url_for("pm_auth"))
    two = await asyncpg.connect(fresh_database.url_for("pm_auth"))
    try:
        slow = one.transaction()
        await slow.start()
        await token_changes.note_sessions(one, [late])
        for each in ids:
            await token_changes.note_sessions(two, [each])
        answer = await page(auth)
        assert answer.more
        assert len(answer.changes) == 3
        await slow.commit()  # in the middle of the round, behind the place it has come to
        rest, cursor = await read_on(auth, answer.next_cursor)
        found = rest | {change.session_id for change in answer.changes}
        again, _ = await read_on(auth, cursor)
        assert {str(each) for each in (*ids, late)} <= found | again
    finally:
        await one.close()
        await two.close()


async def test_what_no_longer_matters_is_not_told(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=token)
    await rows.execute("UPDATE token_changes SET matters_until = now()")
    assert not (await page(auth)).changes


@pytest.mark.parametrize(
    "cursor", ["x", "-1", "1.2", "1.2.3.4", "9" * 19, "٣", "1" * 10**5, "900000000000000000", "1.1.1\n"]
)
async def test_a_forged_cursor_is_a_bad_field(auth: Auth, cursor: str) -> None:
    refusal = await auth.refusal_of(page(auth, cursor))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [bad.pointer for bad in refusal.fields] == ["/cursor"]
