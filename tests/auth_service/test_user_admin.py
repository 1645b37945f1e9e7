"""Administrators and the accounts of others: who may, what is kept of it, and how soon it holds everywhere."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from auth_service.identity import TREASURY_ID
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from runtime.tokens import TokenVerifier
from tests.auth_service.support import Auth, code_of, make_admin, refused_within

USER, ANALYST, ADMIN, TREASURY = (
    auth_pb2.ROLE_USER,
    auth_pb2.ROLE_ANALYST,
    auth_pb2.ROLE_ADMIN,
    auth_pb2.ROLE_TREASURY,
)


UNKNOWN: Any = 99


def set_role(user_id: str, role: Any, reason: str = "as agreed", **fields: str) -> auth_pb2.SetRoleRequest:
    return auth_pb2.SetRoleRequest(user_id=user_id, role=role, reason=reason, **fields)


def suspend(user_id: str, reason: str = "spam", **fields: str) -> auth_pb2.SuspendUserRequest:
    return auth_pb2.SuspendUserRequest(user_id=user_id, reason=reason, **fields)


def restore(user_id: str, reason: str = "a mistake") -> auth_pb2.RestoreUserRequest:
    return auth_pb2.RestoreUserRequest(user_id=user_id, reason=reason)


async def role_within(verifier: TokenVerifier, credential: str, role: str, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while (await verifier.identity(f"Bearer {credential}")).role != role:
            await asyncio.sleep(0.05)


async def test_a_changed_role_holds_everywhere_within_seconds(auth: Auth, rows: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    ada = await auth.register()
    key = await auth.api_key(ada.tokens.access_token)
    await auth.verifier.identity(f"Bearer {ada.tokens.access_token}")
    await auth.verifier.identity(f"Bearer {key.secret}")
    answer = await auth.admin("SetRole", set_role(ada.user.user_id, ANALYST), admin)
    assert answer.user.role == ANALYST
    await refused_within(auth.verifier, ada.tokens.access_token, 50)
    newer = await auth.refresh(ada.tokens.refresh_token)
    assert (await auth.verifier.identity(f"Bearer {newer.access_token}")).role == "analyst"
    await role_within(auth.verifier, key.secret, "analyst", 50)


async def test_an_access_token_of_the_very_second_of_the_change_is_told_apart(auth: Auth, rows: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    ada = await auth.register()
    tokens = ada.tokens
    for role in (ANALYST, USER, ADMIN, USER, ANALYST):
        await auth.admin("SetRole", set_role(ada.user.user_id, role), admin)
        newer = await auth.refresh(tokens.refresh_token)
        await refused_within(auth.verifier, tokens.access_token, 50)
        await auth.verifier.identity(f"Bearer {newer.access_token}")
        tokens = newer


async def test_a_suspended_user_is_out_everywhere_within_seconds_and_can_come_back(
    auth: Auth, rows: Any
) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    ada = await auth.register()
    key = await auth.api_key(ada.tokens.access_token)
    await auth.verifier.identity(f"Bearer {ada.tokens.access_token}")
    await auth.verifier.identity(f"Bearer {key.secret}")
    answer = await auth.admin("SuspendUser", suspend(ada.user.user_id), admin)
    assert answer.user.status == auth_pb2.ACCOUNT_STATUS_SUSPENDED
    await refused_within(auth.verifier, ada.tokens.access_token, 50)
    await refused_within(auth.verifier, key.secret, 50)
    for attempt in (auth.refresh(ada.tokens.refresh_token), auth.log_in("ada@example.org")):
        assert (await auth.refusal_of(attempt)).code is ErrorCode.ACCOUNT_SUSPENDED
    await auth.admin("RestoreUser", restore(ada.user.user_id), admin)
    again = await auth.log_in("ada@example.org")
    await auth.verifier.identity(f"Bearer {again.tokens.access_token}")
    await auth.refusal_of(auth.refresh(ada.tokens.refresh_token))
    await refused_within(auth.verifier, ada.tokens.access_token, 5)
    async with asyncio.timeout(50):  # that the key was none is remembered for a moment
        while await code_of(auth.verifier, key.secret) is not None:
            await asyncio.sleep(0.05)


async def test_each_change_leaves_one_audit_row_with_before_after_and_reason(auth: Auth, rows: Any) -> None:
    admin = await make_admin(auth, rows)
    ada = (await auth.register()).user.user_id
    token = admin.tokens.access_token
    for _ in range(2):  # the second time changes nothing
        await auth.admin("SetRole", set_role(ada, ANALYST, "reads well"), token)
        await auth.admin("SuspendUser", suspend(ada, "spam"), token)
    for _ in range(2):
        await auth.admin("RestoreUser", restore(ada, "a mistake"), token)
    found = await rows.fetch(
        "SELECT * FROM audit_log WHERE target = $1 AND action LIKE 'user.%' ORDER BY 1", ada
    )
    assert [(row["action"], row["reason"]) for row in found[1:]] == [
        ("user.role_changed", "reads well"),
        ("user.suspended", "spam"),
        ("user.restored", "a mistake"),
    ]
    assert all(str(row["actor_id"]) == admin.user.user_id and row["trace_id"] for row in found[1:])
    assert (json.loads(found[1]["before"]), json.loads(found[1]["after"])) == (
        {"role": "user"},
        {"role": "analyst"},
    )
    assert json.loads(found[2]["before"]) == {"status": "active"}
    assert json.loads(found[2]["after"]) == {"status": "suspended", "sessions_ended": 1}


async def test_nobody_changes_their_own_access_or_the_treasurys(auth: Auth, rows: Any) -> None:
    admin = await make_admin(auth, rows)
    await make_admin(auth, rows, "second@example.org")
    for user_id in (admin.user.user_id, str(TREASURY_ID)):
        for method, request in {
            "SetRole": set_role(user_id, USER),
            "SuspendUser": suspend(user_id),
        }.items():
            refusal = await auth.refusal_of(auth.admin(method, request, admin.tokens.access_token))
            assert refusal.code is ErrorCode.FORBIDDEN, (method, user_id)
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'admin' AND status = 'active'") == 2


async def test_the_last_admin_stays(auth: Auth, rows: Any) -> None:
    admin = await make_admin(auth, rows)
    for method, request in {
        "SetRole": set_role(admin.user.user_id, USER),
        "SuspendUser": suspend(admin.user.user_id),
    }.items():
        refusal = await auth.refusal_of(auth.admin(method, request, admin.tokens.access_token))
        assert refusal.code is ErrorCode.LAST_ADMIN


async def test_admins_who_demote_each_other_at_once_leave_one(auth: Auth, rows: Any) -> None:
    admins = [await make_admin(auth, rows, f"root{number}@example.org") for number in range(5)]
    await asyncio.gather(
        *(
            auth.admin("SetRole", set_role(other.user.user_id, USER), me.tokens.access_token)
            for me in admins
            for other in admins
            if me is not other
        ),
        return_exceptions=True,
    )
    assert await rows.fetchval("SELECT count(*) FROM users WHERE role = 'admin' AND status = 'active'") == 1


async def test_a_demoted_admin_is_none_at_once_whatever_the_token_says(auth: Auth, rows: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    second = await make_admin(auth, rows, "second@example.org")
    ada = (await auth.register()).user.user_id
    await auth.admin("SetRole", set_role(second.user.user_id, USER), admin)
    refusal = await auth.refusal_of(auth.admin("SuspendUser", suspend(ada), second.tokens.access_token))
    assert refusal.code in (ErrorCode.FORBIDDEN, ErrorCode.UNAUTHENTICATED)
    assert await rows.fetchval("SELECT status FROM users WHERE user_id = $1", ada) == "active"


@pytest.mark.parametrize("role", ["user", "analyst", "nobody"])
async def test_nobody_else_may(auth: Auth, rows: Any, role: str) -> None:
    ada = await auth.register()
    if role != "nobody":
        await rows.execute("UPDATE users SET role = $1 WHERE email IS NOT NULL", role)
    token = (await auth.log_in("ada@example.org")).tokens.access_token if role != "nobody" else ""
    expected = ErrorCode.FORBIDDEN if token else ErrorCode.UNAUTHENTICATED
    for method, request in {
        "ListUsers": auth_pb2.ListUsersRequest(),
        "GetUser": auth_pb2.GetUserRequest(user_id=ada.user.user_id),
        "SetRole": set_role(ada.user.user_id, ADMIN),
        "SuspendUser": suspend(ada.user.user_id),
        "RestoreUser": restore(ada.user.user_id),
    }.items():
        assert (await auth.refusal_of(auth.admin(method, request, token))).code is expected, method


@pytest.mark.parametrize(
    ("method", "field", "request_"),
    [
        ("SetRole", "role", set_role(str(uuid.uuid4()), 0)),
        ("SetRole", "role", set_role(str(uuid.uuid4()), 99)),
        ("SetRole", "role", set_role(str(uuid.uuid4()), TREASURY)),
        ("SetRole", "reason", set_role(str(uuid.uuid4()), USER, "")),
        ("SetRole", "reason", set_role(str(uuid.uuid4()), USER, "x" * 501)),
        ("SetRole", "user_id", set_role("x", USER)),
        ("SuspendUser", "reason", suspend(str(uuid.uuid4()), " ")),
        ("SuspendUser", "user_id", suspend("")),
        ("RestoreUser", "reason", restore(str(uuid.uuid4()), "\u202e")),
        ("GetUser", "user_id", auth_pb2.GetUserRequest(user_id="0" * 36)),
        ("ListUsers", "q", auth_pb2.ListUsersRequest(q="x" * 101)),
        ("ListUsers", "page_size", auth_pb2.ListUsersRequest(page_size=-1)),
        ("ListUsers", "page_size", auth_pb2.ListUsersRequest(page_size=1_000_000_000)),
        ("ListUsers", "page_token", auth_pb2.ListUsersRequest(page_token="forged")),
        ("ListUsers", "page_token", auth_pb2.ListUsersRequest(page_token="é" * 1000)),
        ("ListUsers", "page_token", auth_pb2.ListUsersRequest(page_token="OTk5OTk5OTk5OTk5OTk5OTk5LjAw")),
        ("ListUsers", "role", auth_pb2.ListUsersRequest(role=UNKNOWN)),
        ("ListUsers", "status", auth_pb2.ListUsersRequest(status=UNKNOWN)),
    ],
)
async def test_bad_fields_are_named(auth: Auth, rows: Any, method: str, field: str, request_: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    refusal = await auth.refusal_of(auth.admin(method, request_, admin))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [bad.pointer for bad in refusal.fields] == [f"/{field}"]


async def test_an_unknown_user_is_not_found(auth: Auth, rows: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    nobody = str(uuid.uuid4())
    for method, request in {
        "GetUser": auth_pb2.GetUserRequest(user_id=nobody),
        "SetRole": set_role(nobody, USER),
        "SuspendUser": suspend(nobody),
        "RestoreUser": restore(nobody),
    }.items():
        assert (await auth.refusal_of(auth.admin(method, request, admin))).code is ErrorCode.USER_NOT_FOUND


async def test_users_are_found_by_part_of_name_or_address_or_by_id(auth: Auth, rows: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    ada = (await auth.register("Ada@example.org", display_name="Countess 100%")).user
    await auth.register("eve@example.org", display_name="Eve_x")

    async def found(**fields: Any) -> list[str]:
        answer = await auth.admin("ListUsers", auth_pb2.ListUsersRequest(**fields), admin)
        return [user.email for user in answer.users]

    assert (
        await found(q="aDa@")
        == await found(q="countess")
        == await found(q=ada.user_id)
        == ["Ada@example.org"]
    )
    assert await found(q="100%") == ["Ada@example.org"]  # a sign, not a pattern
    assert await found(q="%") == ["Ada@example.org"]
    assert await found(q="_") == ["eve@example.org"]
    assert await found(q="nobody") == []
    assert await found(role=ADMIN) == ["root@example.org"]
    assert await found(role=TREASURY) == [""]
    assert await found(status=auth_pb2.ACCOUNT_STATUS_SUSPENDED) == []
    assert len(await found()) == 4


async def test_pages_show_everybody_once_newest_first(auth: Auth, rows: Any) -> None:
    admin = (await make_admin(auth, rows)).tokens.access_token
    for number in range(5):
        await auth.register(f"u{number}@example.org")
    seen: list[str] = []
    token = ""
    while True:
        request = auth_pb2.ListUsersRequest(page_size=3, page_token=token)
        page = await auth.admin("ListUsers", request, admin)
        assert len(page.users) <= 3
        seen += [user.email for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"u{number}@example.org" for number in (4, 3, 2, 1, 0)] + ["root@example.org", ""]
