"""Access tokens: exactly what the other services expect, and verified by what they verify with."""

import asyncio
import base64
import json
import time
import uuid
from typing import Any

import aiohttp
import asyncpg
import jwt
import pytest

from auth_service.keys import SigningKey, load_or_create
from auth_service.tokens import AccessTokenIssuer, AccessTokenSettings
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from runtime.tokens import TokenVerifier, parse_jwks
from tests.auth_service.conftest import StartAuth
from tests.auth_service.support import Auth


async def test_header_and_claims_are_these_and_no_others(auth: Auth) -> None:
    answer = await auth.register()
    token = answer.tokens.access_token
    jwks = parse_jwks((await auth.ask("GetJwks", auth_pb2.GetJwksRequest())).jwks_json.encode())
    [kid] = jwks
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": kid, "typ": "at+jwt"}
    claims = jwt.decode(token, jwks[kid], algorithms=["EdDSA"], audience="predmarket-api")
    issued_at = claims["iat"]
    assert claims == {
        "iss": "predmarket",
        "aud": "predmarket-api",
        "sub": answer.user.user_id,
        "iat": issued_at,
        "exp": issued_at + 900,
        "jti": claims["jti"],
        "role": "user",
        "sid": answer.tokens.session_id,
        "ver": 0,
    }
    assert str(uuid.UUID(claims["jti"])) == claims["jti"]
    assert abs(time.time() - issued_at) < 60
    assert answer.tokens.access_expires_at == claims["exp"] * 1_000_000


async def test_every_token_has_an_id_of_its_own(auth: Auth) -> None:
    tokens = [(await auth.register()).tokens]
    tokens += [(await auth.log_in("ada@example.org")).tokens for _ in range(3)]
    identities = [await auth.verifier.identity(f"Bearer {token.access_token}") for token in tokens]
    assert len({identity.token_id for identity in identities}) == 4
    assert len({identity.session_id for identity in identities}) == 4


async def test_the_published_document_is_the_same_on_http_and_grpc_and_holds_no_private_part(
    auth: Auth,
) -> None:
    async with aiohttp.ClientSession() as session, session.get(auth.jwks_url) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        text = await answer.text()
    assert text == (await auth.ask("GetJwks", auth_pb2.GetJwksRequest())).jwks_json
    [key] = json.loads(text)["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")


async def test_two_processes_that_start_together_share_one_key(start_auth: StartAuth, rows: Any) -> None:
    one, two = await asyncio.gather(start_auth(), start_auth())
    assert await rows.fetchval("SELECT count(*) FROM signing_keys") == 1
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'signing_key.created'") == 1
    token = (await one.register()).tokens.access_token
    assert (await two.verifier.identity(f"Bearer {token}")).role == "user"
    await two.ask("GetMe", auth_pb2.GetMeRequest(), token=token)


async def test_a_restart_keeps_the_key(start_auth: StartAuth) -> None:
    registered = await (await start_auth()).register()
    again = await start_auth()
    me = await again.ask("GetMe", auth_pb2.GetMeRequest(), token=registered.tokens.access_token)
    assert me.user.user_id == registered.user.user_id


async def test_a_retired_key_verifies_but_no_longer_signs(fresh_database: Any, rows: Any) -> None:
    async with asyncpg.create_pool(fresh_database.url_for("pm_auth"), min_size=1) as pool:
        old = (await load_or_create(pool)).signing
        await rows.execute(
            """
            UPDATE signing_keys SET retired_at = now(), private_key = NULL,
                                    published_until = now() + interval '1 hour'
            """
        )
        ring = await load_or_create(pool)
        assert ring.signing.kid != old.kid
        assert {key.kid for key in ring.published} == {old.kid, ring.signing.kid}
        await rows.execute("UPDATE signing_keys SET published_until = now() WHERE retired_at IS NOT NULL")
        assert {key.kid for key in (await load_or_create(pool)).published} == {ring.signing.kid}


async def test_a_tokens_lifetime_is_a_setting_and_expired_ones_are_refused(start_auth: StartAuth) -> None:
    auth = await start_auth(access_token_seconds=1)
    token = (await auth.register()).tokens.access_token
    await asyncio.sleep(2.1)
    refusal = await auth.refusal_of(auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token))
    assert refusal.code is ErrorCode.UNAUTHENTICATED


def forged_tokens() -> dict[str, str]:
    """Tokens nobody of ours signed."""
    now = int(time.time())
    claims = {
        "iss": "predmarket", "aud": "predmarket-api", "sub": str(uuid.uuid4()), "iat": now, "exp": now + 900,
        "jti": str(uuid.uuid4()), "role": "admin", "sid": str(uuid.uuid4()),
    }  # fmt: skip
    stranger = SigningKey.generate()
    issuer = AccessTokenIssuer(stranger, AccessTokenSettings())
    signed = issuer.issue(user_id=uuid.uuid4(), role="admin", session_id=uuid.uuid4(), issued_at_seconds=now)[
        0
    ]
    none = jwt.encode(claims, "", algorithm="none", headers={"typ": "at+jwt", "kid": stranger.kid})
    return {"another key": signed, "alg none": none, "nonsense": "x.y.z", "long": "a" * 10_000}


@pytest.mark.parametrize("kind", ["another key", "alg none", "nonsense", "long"])
async def test_forged_tokens_open_nothing(auth: Auth, kind: str) -> None:
    refusal = await auth.refusal_of(auth.ask("GetMe", auth_pb2.GetMeRequest(), token=forged_tokens()[kind]))
    assert refusal.code is ErrorCode.UNAUTHENTICATED


async def test_an_edited_role_opens_nothing(auth: Auth) -> None:
    header, claims, signature = (await auth.register()).tokens.access_token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    edited = base64.urlsafe_b64encode(json.dumps({**decoded, "role": "admin"}).encode()).rstrip(b"=").decode()
    token = f"{header}.{edited}.{signature}"
    refusal = await auth.refusal_of(auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token))
    assert refusal.code is ErrorCode.UNAUTHENTICATED


async def test_a_token_for_another_audience_opens_nothing(start_auth: StartAuth) -> None:
    elsewhere = await start_auth(jwt_audience="another-api")
    here = await start_auth()
    token = (await elsewhere.register()).tokens.access_token
    refusal = await here.refusal_of(here.ask("GetMe", auth_pb2.GetMeRequest(), token=token))
    assert refusal.code is ErrorCode.UNAUTHENTICATED


async def test_a_service_token_is_short_lived_and_is_no_person(auth: Auth, fresh_database: Any) -> None:
    async with asyncpg.create_pool(fresh_database.url_for("pm_auth"), min_size=1) as pool:
        issuer = AccessTokenIssuer((await load_or_create(pool)).signing, AccessTokenSettings())
    now = int(time.time())
    token = issuer.issue_for_service(service_id=uuid.UUID(int=7), issued_at_seconds=now, lifetime_seconds=60)
    verifier = TokenVerifier(jwks_url=auth.jwks_url, issuer="predmarket", audience="predmarket-api")
    identity = await verifier.identity(f"Bearer {token}")
    assert (identity.role, identity.expires_at_seconds) == ("service", now + 60)
    refusal = await auth.refusal_of(auth.ask("GetMe", auth_pb2.GetMeRequest(), token=token))
    assert refusal.code is ErrorCode.FORBIDDEN
