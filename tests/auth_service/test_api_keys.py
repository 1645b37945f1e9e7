"""API keys: shown once, stored as a hash, good for their scopes, refused everywhere soon after their end."""

import asyncio
import hashlib
import time
import uuid
from typing import Any

import pytest

from auth_service.api_keys import KEYS_MAX
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from runtime.identity import NEVER_SECONDS
from tests.auth_service.support import Auth, make_admin, refused_within

READ, TRADE = auth_pb2.API_KEY_SCOPE_READ, auth_pb2.API_KEY_SCOPE_TRADE


async def test_a_key_is_shown_once_and_stored_as_a_hash(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    made = await auth.api_key(token, READ)
    key_id, secret = made.secret.removeprefix("pmk_").split("_", 1)
    assert str(uuid.UUID(hex=key_id)) == made.api_key.api_key_id
    row = await rows.fetchrow("SELECT * FROM api_keys")
    assert row["secret_hash"] == hashlib.sha256(secret.encode()).digest()
    [listed] = (await auth.ask("ListApiKeys", auth_pb2.ListApiKeysRequest(), token=token)).api_keys
    assert listed == made.api_key
    assert (listed.name, list(listed.scopes), listed.tier, listed.expires_at) == (
        "bot",
        [READ],
        "standard",
        0,
    )
    audit = await rows.fetchrow("SELECT * FROM audit_log WHERE action = 'api_key.created'")
    assert audit["target"] == made.api_key.api_key_id
    assert secret not in str(dict(audit))


async def test_another_service_learns_who_a_key_is(auth: Auth) -> None:
    ada = await auth.register()
    made = await auth.api_key(ada.tokens.access_token, READ)
    identity = await auth.verifier.identity(f"Bearer {made.secret}")
    assert (identity.user_id, identity.role, identity.tier) == (ada.user.user_id, "user", "standard")
    assert identity.scopes == {"read"}
    assert (identity.api_key_id, identity.session_id) == (made.api_key.api_key_id, "")
    assert identity.expires_at_seconds == NEVER_SECONDS


async def test_a_revoked_key_is_refused_everywhere_within_seconds(auth: Auth, rows: Any) -> None:
    token = (await auth.register()).tokens.access_token
    made = await auth.api_key(token)
    await auth.verifier.identity(f"Bearer {made.secret}")
    request = auth_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id)
    for _ in range(2):
        await auth.ask("RevokeApiKey", request, token=token)
    await refused_within(auth.verifier, made.secret, 50)
    assert not (await auth.ask("ListApiKeys", auth_pb2.ListApiKeysRequest(), token=token)).api_keys
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'api_key.revoked'") == 1


async def test_keys_of_others_are_not_found(auth: Auth) -> None:
    made = await auth.api_key((await auth.register()).tokens.access_token)
    eve = (await auth.register("eve@example.org")).tokens.access_token
    for key_id in (made.api_key.api_key_id, str(uuid.uuid4())):
        request = auth_pb2.RevokeApiKeyRequest(api_key_id=key_id)
        refusal = await auth.refusal_of(auth.ask("RevokeApiKey", request, token=eve))
        assert refusal.code is ErrorCode.NOT_FOUND
    await auth.verifier.identity(f"Bearer {made.secret}")


async def test_a_key_expires(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    made = await auth.api_key(token, expires_at=int((time.time() + 2) * 1e6))
    await auth.verifier.identity(f"Bearer {made.secret}")
    await asyncio.sleep(2.1)
    await refused_within(auth.verifier, made.secret, 20)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 51}),
        ("name", {"name": "a\u202eb"}),
        ("scopes", {"scopes": []}),
        ("scopes", {"scopes": [READ, READ]}),
        ("scopes", {"scopes": [0]}),
        ("scopes", {"scopes": [99]}),
        ("expires_at", {"expires_at": 1}),
        ("expires_at", {"expires_at": -1}),
        ("expires_at", {"expires_at": 2**63 - 1}),
        ("idempotency_key", {"idempotency_key": "x" * 201}),
        ("idempotency_key", {"idempotency_key": "a\0b"}),
    ],
)
async def test_what_makes_no_key_is_a_bad_field(auth: Auth, field: str, changes: dict[str, Any]) -> None:
    token = (await auth.register()).tokens.access_token
    request = auth_pb2.CreateApiKeyRequest(**{"name": "bot", "scopes": [READ], **changes})
    refusal = await auth.refusal_of(auth.ask("CreateApiKey", request, token=token))
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert [bad.pointer for bad in refusal.fields] == [f"/{field}"]


async def test_an_account_has_so_many_keys_and_no_more_even_at_once(auth: Auth) -> None:
    token = (await auth.register()).tokens.access_token
    outcomes = await asyncio.gather(
        *(auth.api_key(token) for _ in range(KEYS_MAX + 5)), return_exceptions=True
    )
    refused = [each for each in outcomes if not isinstance(each, auth_pb2.CreateApiKeyResponse)]
    assert len(refused) == 5
    assert {getattr(each, "code", None) for each in refused} == {ErrorCode.TOO_MANY_API_KEYS}


async def test_a_key_reads_what_is_its_owners_and_manages_nothing(auth: Auth, rows: Any) -> None:
    owner = await make_admin(auth, rows)  # whoever owns it
    session_id = owner.tokens.session_id
    both = (await auth.api_key(owner.tokens.access_token)).secret
    me = await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=both)
    assert me.user.email == "root@example.org"
    await auth.ask("ListSessions", auth_pb2.ListSessionsRequest(), token=both)
    await auth.ask("ListApiKeys", auth_pb2.ListApiKeysRequest(), token=both)
    managing = {
        "UpdateMe": auth_pb2.UpdateMeRequest(display_name="x"),
        "LogOut": auth_pb2.LogOutRequest(),
        "RevokeSession": auth_pb2.RevokeSessionRequest(session_id=session_id),
        "RevokeOtherSessions": auth_pb2.RevokeOtherSessionsRequest(),
        "CreateApiKey": auth_pb2.CreateApiKeyRequest(name="x", scopes=[READ]),
        "RevokeApiKey": auth_pb2.RevokeApiKeyRequest(api_key_id=session_id),
        "ChangePassword": auth_pb2.ChangePasswordRequest(current_password="a", new_password="b"),
    }
    for method, request in managing.items():
        assert (await auth.refusal_of(auth.ask(method, request, token=both))).code is ErrorCode.FORBIDDEN, (
            method
        )
    administering = {
        "ListUsers": auth_pb2.ListUsersRequest(),
        "GetUser": auth_pb2.GetUserRequest(),
        "SetRole": auth_pb2.SetRoleRequest(),
        "SuspendUser": auth_pb2.SuspendUserRequest(),
        "RestoreUser": auth_pb2.RestoreUserRequest(),
    }
    for method, request in administering.items():
        assert (await auth.refusal_of(auth.admin(method, request, both))).code is ErrorCode.FORBIDDEN, method


async def test_trade_does_not_include_read(auth: Auth) -> None:
    key = await auth.api_key((await auth.register()).tokens.access_token, TRADE)
    refusal = await auth.refusal_of(auth.ask("GetMe", auth_pb2.GetMeRequest(), token=key.secret))
    assert (refusal.code, refusal.details["scope"]) == (ErrorCode.FORBIDDEN, "read")


@pytest.mark.parametrize("key", ["", "pmk_", "pmk_x_y", "pmk_" + "0" * 32 + "_" + "A" * 43, "A" * 10**6])
async def test_what_is_no_key_is_unauthenticated(auth: Auth, key: str) -> None:
    request = auth_pb2.CheckApiKeyRequest(api_key=key)
    refusal = await auth.refusal_of(auth.ask("CheckApiKey", request, service="CredentialService"))
    assert refusal.code is ErrorCode.UNAUTHENTICATED


async def test_a_wrong_secret_with_a_right_id_is_refused(auth: Auth) -> None:
    made = await auth.api_key((await auth.register()).tokens.access_token)
    wrong = made.secret[:-43] + "A" * 43
    request = auth_pb2.CheckApiKeyRequest(api_key=wrong)
    refusal = await auth.refusal_of(auth.ask("CheckApiKey", request, service="CredentialService"))
    assert refusal.code is ErrorCode.UNAUTHENTICATED


async def test_use_is_noted_to_the_minute(auth: Auth, rows: Any) -> None:
    made = await auth.api_key((await auth.register()).tokens.access_token)
    request = auth_pb2.CheckApiKeyRequest(api_key=made.secret)
    await auth.ask("CheckApiKey", request, service="CredentialService")
    first = await rows.fetchval("SELECT last_used_at FROM api_keys")
    await auth.ask("CheckApiKey", request, service="CredentialService")
    assert first is not None
    assert await rows.fetchval("SELECT last_used_at FROM api_keys") == first
