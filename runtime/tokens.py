"""Checks access tokens against the issuer's published keys (JWKS). Strict: one algorithm, every claim required.

    verifier = TokenVerifier(jwks_url=..., issuer=..., audience=...)
    identity = await verifier.caller(context)            # in a gRPC handler
    identity = await verifier.identity("Bearer eyJ...")   # elsewhere

Everything wrong with a token is UNAUTHENTICATED, without saying what.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt
from jwt.algorithms import OKPAlgorithm

from runtime import metrics
from runtime.clock import Clock, SystemClock
from runtime.errors import ApiError, ErrorCode
from runtime.ids import is_canonical_uuid
from runtime.logs import get_logger

log = get_logger(__name__)

ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"
ROLES = frozenset({"user", "admin", "analyst", "treasury", "service"})
TOKEN_MAX_CHARACTERS = 8 * 1024
LIFETIME_MAX_SECONDS = 3_600
CLOCK_SKEW_SECONDS = 5
REFETCH_MIN_SECONDS = 5.0  # an unknown kid asks for the keys again, but not more often than this
REFRESH_SECONDS = 300.0  # keys taken out of the set are forgotten after this
FETCH_TIMEOUT_SECONDS = 3.0
JWKS_MAX_BYTES = 64 * 1024
CACHE_MAX = 10_000  # verified tokens; a signature costs 0.1 ms, and a client sends the same token many times
_HEADER_ALLOWED = frozenset({"alg", "typ", "kid"})
_REQUIRED_CLAIMS = ("exp", "iat", "iss", "aud", "sub", "jti", "role", "sid")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. Times in seconds since the epoch, as in the token."""

    user_id: str
    role: str
    session_id: str
    token_id: str
    expires_at_seconds: int

    def require(self, *roles: str) -> None:
        """Raises FORBIDDEN unless the role is one of these."""
        if self.role not in roles:
            raise ApiError(ErrorCode.FORBIDDEN)


class TokenVerifier:
    """Keys are fetched at first use, kept while the issuer is away, and looked for again when a kid is unknown."""

    def __init__(self, *, jwks_url: str, issuer: str, audience: str, clock: Clock | None = None) -> None:
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._clock = clock or SystemClock()
        self._keys: Mapping[str, Any] = {}
        self._fetched_at: float | None = None
        self._attempted_at: float | None = None
        self._fetching: asyncio.Task[bool] | None = None
        self._verified: OrderedDict[str, Identity] = OrderedDict()

    async def caller(self, context: Any) -> Identity:
        """The identity in a gRPC call's `authorization` metadata. Raises UNAUTHENTICATED or UNAVAILABLE."""
        values = [value for key, value in context.invocation_metadata() if key == "authorization"]
        if len(values) != 1:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return await self.identity(values[0])

    async def identity(self, authorization: str) -> Identity:
        """The identity of `Bearer <token>`. Raises UNAUTHENTICATED, or UNAVAILABLE when no keys could be had."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_MAX_CHARACTERS or not token.isascii():
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        self._refresh_in_background()
        known = self._verified.get(token)
        if known is not None:
            if known.expires_at_seconds <= self._now_seconds():
                del self._verified[token]
                raise ApiError(ErrorCode.UNAUTHENTICATED)
            return known
        identity = self._verify(token, await self._key(_key_id(token)))
        self._verified[token] = identity
        if len(self._verified) > CACHE_MAX:
            self._verified.popitem(last=False)
        return identity

    async def close(self) -> None:
        """Ends a fetch that still runs."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _verify(self, token: str, key: Any) -> Identity:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": list(_REQUIRED_CLAIMS),
                    # Times are checked below, by the clock given to us and against absurd values.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise ApiError(ErrorCode.UNAUTHENTICATED) from None
        return self._checked(claims)

    def _checked(self, claims: Mapping[str, Any]) -> Identity:
        now = self._now_seconds()
        expires, issued, not_before = claims["exp"], claims["iat"], claims.get("nbf", 0)
        texts = [claims[name] for name in ("aud", "sub", "jti", "role", "sid")]
        if (
            not all(type(value) is int for value in (expires, issued, not_before))
            or not all(isinstance(text, str) and 0 < len(text) <= 200 for text in texts)
            or not is_canonical_uuid(claims["sub"])
            or claims["role"] not in ROLES
            or not now < expires <= issued + LIFETIME_MAX_SECONDS
            or issued > now + CLOCK_SKEW_SECONDS
            or not_before > now + CLOCK_SKEW_SECONDS
        ):
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return Identity(claims["sub"], claims["role"], claims["sid"], claims["jti"], expires)

    async def _key(self, key_id: str) -> Any:
        if key_id not in self._keys and self._may_attempt():
            await self._fetch()
        if not self._keys and self._fetched_at is None:
            raise ApiError(ErrorCode.UNAVAILABLE, "the signing keys could not be fetched yet")
        if key_id not in self._keys:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return self._keys[key_id]

    def _may_attempt(self) -> bool:
        if self._fetching is not None and not self._fetching.done():
            return True  # join the fetch under way
        if self._attempted_at is None or self._fetched_at is None:
            return self._attempted_at is None or self._since(self._attempted_at) >= 0.2
        return self._since(self._attempted_at) >= REFETCH_MIN_SECONDS

    def _refresh_in_background(self) -> None:
        if (
            self._fetched_at is None
            or self._since(self._fetched_at) < REFRESH_SECONDS
            or not self._may_attempt()
        ):
            return
        self._begin_fetch()

    def _begin_fetch(self) -> "asyncio.Task[bool]":
        if self._fetching is None or self._fetching.done():
            self._attempted_at = self._clock.monotonic_seconds()
            self._fetching = asyncio.create_task(self._fetch_once(), name="jwks")
        return self._fetching

    async def _fetch(self) -> None:
        # Shielded: the caller that asked first may give up, others wait for the same answer.
        await asyncio.shield(self._begin_fetch())

    async def _fetch_once(self) -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._jwks_url) as answer,
            ):
                if answer.status != 200:
                    raise ValueError(f"status {answer.status}")
                keys = parse_jwks(await answer.content.read(JWKS_MAX_BYTES))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            metrics.JWKS_FETCHES.labels("failed").inc()
            log.warning("the signing keys could not be fetched", error=str(error))
            return False
        if any(key_id not in keys for key_id in self._keys):
            self._verified.clear()
        self._keys = keys
        self._fetched_at = self._clock.monotonic_seconds()
        metrics.JWKS_FETCHES.labels("fetched").inc()
        return True

    def _since(self, moment: float) -> float:
        return self._clock.monotonic_seconds() - moment

    def _now_seconds(self) -> int:
        return self._clock.now_micros() // 1_000_000


def parse_jwks(body: bytes) -> dict[str, Any]:
    """The Ed25519 signing keys of a JWKS document, by kid. Other keys are left out. Raises ValueError."""
    import json

    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS document")
    keys: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, dict) and entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519":
            public = {"kty": "OKP", "crv": "Ed25519", "x": entry.get("x")}
            keys[str(entry.get("kid"))] = _public_key(public)
    return keys


def _public_key(entry: dict[str, Any]) -> Any:
    try:
        return OKPAlgorithm.from_jwk(entry)
    except jwt.PyJWTError as error:
        raise ValueError("not an Ed25519 key") from error


def _key_id(token: str) -> str:
    """The kid of a header that has exactly what our tokens have: no jku, jwk, x5u or crit to follow."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise ApiError(ErrorCode.UNAUTHENTICATED) from None
    key_id = header.get("kid")
    if (
        not _HEADER_ALLOWED.issuperset(header)
        or header.get("alg") != ALGORITHM
        or header.get("typ") != TOKEN_TYPE
        or not isinstance(key_id, str)
    ):
        raise ApiError(ErrorCode.UNAUTHENTICATED)
    return key_id
