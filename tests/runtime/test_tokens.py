"""Access tokens: only what our issuer signed, for us, now. Everything else is UNAUTHENTICATED."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from runtime.clock import ManualClock
from runtime.errors import ApiError, ErrorCode
from runtime.http_server import HttpServer
from runtime.tokens import Identity, TokenVerifier

USER = "0191e8a0-0000-7000-8000-000000000001"
NOW = 1_700_000_000


@dataclass
class Issuer:
    """Publishes keys over HTTP, as auth_service does."""

    keys: dict[str, Ed25519PrivateKey] = field(default_factory=lambda: {"k1": Ed25519PrivateKey.generate()})
    fetches: int = 0
    up: bool = True
    url: str = ""

    async def jwks(self, _request: web.Request) -> web.Response:
        self.fetches += 1
        if not self.up:
            return web.Response(status=503)
        keys = [
            {**json.loads(OKPAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": "EdDSA"}
            for kid, key in self.keys.items()
        ]
        return web.json_response({"keys": keys})

    def token(self, *, kid: str = "k1", header: dict[str, Any] | None = None, **changes: Any) -> str:
        claims = {
            "iss": "predmarket",
            "aud": "predmarket-api",
            "sub": USER,
            "iat": NOW,
            "exp": NOW + 900,
            "jti": "t1",
            "role": "user",
            "sid": "s1",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(
            claims, self.keys[kid], algorithm="EdDSA", headers={"kid": kid, "typ": "at+jwt", **(header or {})}
        )


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/jwks", issuer.jwks)
    server = HttpServer(app, host="127.0.0.1", port=0, grace_seconds=0)
    await server.start()
    issuer.url = f"http://127.0.0.1:{server.port}/jwks"
    yield issuer
    await server.stop()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW * 1_000_000)


@pytest.fixture
async def verifier(issuer: Issuer, clock: ManualClock) -> AsyncIterator[TokenVerifier]:
    verifier = TokenVerifier(jwks_url=issuer.url, issuer="predmarket", audience="predmarket-api", clock=clock)
    yield verifier
    await verifier.close()


async def expect_refused(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(ApiError) as caught:
        await verifier.identity(f"Bearer {token}")
    assert caught.value.code is ErrorCode.UNAUTHENTICATED


async def test_a_good_token_names_its_user(issuer: Issuer, verifier: TokenVerifier) -> None:
    identity = await verifier.identity(f"Bearer {issuer.token()}")
    assert identity == Identity(USER, "user", "s1", "t1", NOW + 900)
    with pytest.raises(ApiError) as caught:
        identity.require("admin")
    assert caught.value.code is ErrorCode.FORBIDDEN


async def test_a_verified_token_is_remembered_until_it_expires(
    issuer: Issuer, verifier: TokenVerifier, clock: ManualClock
) -> None:
    token = issuer.token()
    await verifier.identity(f"Bearer {token}")
    await verifier.identity(f"Bearer {token}")
    assert issuer.fetches == 1
    clock.advance(900)
    await expect_refused(verifier, token)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": NOW - 1},
        {"exp": NOW + 100_000},
        {"exp": 1e30},
        {"exp": "soon"},
        {"exp": True},
        {"iat": None},
        {"iat": NOW + 60},
        {"nbf": NOW + 60},
        {"nbf": "x"},
        {"iss": None},
        {"iss": "someone"},
        {"aud": None},
        {"aud": "other-api"},
        {"aud": ["predmarket-api", "other-api"]},
        {"sub": None},
        {"sub": USER.upper()},
        {"sub": "admin"},
        {"jti": None},
        {"role": None},
        {"role": "root"},
        {"role": ["admin"]},
        {"sid": None},
        {"sid": ""},
        {"ver": "1"},
        {"ver": True},
        {"ver": 1.0},
    ],
    ids=str,
)
async def test_bad_claims_are_refused(
    issuer: Issuer, verifier: TokenVerifier, changes: dict[str, Any]
) -> None:
    await expect_refused(verifier, signed(issuer, changes))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "rt+jwt"},
        {"jku": "https://evil.example/jwks"},
        {"jwk": {"kty": "OKP"}},
        {"x5u": "https://evil.example"},
        {"crit": ["exp"]},
        {"crit": ["unknown"], "unknown": 1},
        {"kid": "k9"},
        {"kid": "../k1"},
    ],
    ids=str,
)
async def test_bad_headers_are_refused(
    issuer: Issuer, verifier: TokenVerifier, header: dict[str, Any]
) -> None:
    await expect_refused(verifier, signed(issuer, {}, header))


async def test_alg_none_and_hs256_with_the_public_key_are_refused(
    issuer: Issuer, verifier: TokenVerifier
) -> None:
    payload = issuer.token().split(".")[1]
    public = issuer.keys["k1"].public_key()
    secrets: list[bytes] = [
        public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ]
    none = _part({"alg": "none", "typ": "at+jwt", "kid": "k1"})
    await expect_refused(verifier, f"{none}.{payload}.")
    for secret in secrets:
        signed_part = f"{_part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'k1'})}.{payload}"
        digest = hmac.new(secret, signed_part.encode(), hashlib.sha256).digest()
        await expect_refused(verifier, f"{signed_part}.{_base64(digest)}")


async def test_an_edited_role_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    header, payload, signature = issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    await expect_refused(verifier, f"{header}.{_part({**claims, 'role': 'admin'})}.{signature}")


async def test_a_key_of_somebody_else_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    other = Issuer()
    await expect_refused(verifier, other.token())


@pytest.mark.parametrize(
    "mangle",
    [
        lambda token: token + "A" * 10_000,
        lambda token: "",
        lambda token: "a.b.c",
        lambda token: token.replace(".", ""),
        lambda token: token + "\u0661",
        lambda token: "." * 100,
        lambda token: _base64(b"[" * 3_000) + ".e30.x",
    ],
)
async def test_mangled_tokens_are_refused(
    issuer: Issuer, verifier: TokenVerifier, mangle: Callable[[str], str]
) -> None:
    await expect_refused(verifier, mangle(issuer.token()))


async def test_only_bearer_is_a_scheme(issuer: Issuer, verifier: TokenVerifier) -> None:
    for text in ("", issuer.token(), f"Basic {issuer.token()}", "Bearer"):
        with pytest.raises(ApiError):
            await verifier.identity(text)


async def test_a_new_key_is_found_at_once_but_strange_kids_fetch_rarely(
    issuer: Issuer, verifier: TokenVerifier, clock: ManualClock
) -> None:
    await verifier.identity(f"Bearer {issuer.token()}")
    clock.advance(6)
    issuer.keys["k2"] = Ed25519PrivateKey.generate()
    assert (await verifier.identity(f"Bearer {issuer.token(kid='k2')}")).user_id == USER
    fetches = issuer.fetches
    for number in range(20):
        await expect_refused(verifier, signed(issuer, {}, {"kid": f"strange-{number}"}))
    assert issuer.fetches == fetches
    clock.advance(6)
    await expect_refused(verifier, signed(issuer, {}, {"kid": "strange"}))
    assert issuer.fetches == fetches + 1


async def test_existing_tokens_work_while_the_issuer_is_away(
    issuer: Issuer, verifier: TokenVerifier, clock: ManualClock
) -> None:
    await verifier.identity(f"Bearer {issuer.token()}")
    issuer.up = False
    clock.advance(400)
    assert (await verifier.identity(f"Bearer {issuer.token(jti='t2')}")).token_id == "t2"


async def test_without_any_keys_the_answer_is_to_try_again(issuer: Issuer, verifier: TokenVerifier) -> None:
    issuer.up = False
    with pytest.raises(ApiError) as caught:
        await verifier.identity(f"Bearer {issuer.token()}")
    assert caught.value.code is ErrorCode.UNAVAILABLE


def signed(issuer: Issuer, changes: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """Signed with the real key whatever stands in it; pyjwt itself refuses to write some of these claims."""
    plain = json.loads(base64.urlsafe_b64decode(issuer.token().split(".")[1] + "=="))
    claims = {name: value for name, value in {**plain, **changes}.items() if value is not None}
    text = f"{_part({'alg': 'EdDSA', 'typ': 'at+jwt', 'kid': 'k1', **(header or {})})}.{_part(claims)}"
    return f"{text}.{_base64(issuer.keys['k1'].sign(text.encode()))}"


def _part(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
