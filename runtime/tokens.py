"""Checks credentials: access tokens against the issuer's published keys (strict: one algorithm, every claim
required), and API keys by asking auth_service.

    verifier = process.token_verifier()
    identity = await verifier.caller(context)             # in a gRPC handler
    identity = await verifier.identity("Bearer eyJ...")   # elsewhere; `Bearer pmk_...` is an API key
    identity.require("admin"); identity.require_scope(TRADE); identity.require_person()

Everything wrong with a credential is UNAUTHENTICATED, without saying what. What holds a connection for long (a
stream, a socket) asks again for each command, which is cheap, or `still_holds(identity)` every second or two.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import jwt

from runtime.api_keys import API_KEY_PREFIX, ApiKeys
from runtime.clock import Clock, SystemClock
from runtime.credentials import Authority
from runtime.errors import ApiError, ErrorCode
from runtime.identity import ALL_SCOPES, READ, TRADE, Identity
from runtime.ids import is_canonical_uuid
from runtime.jwks import PublishedKeys, parse_jwks
from runtime.token_changes import KnownChanges

__all__ = ["ALL_SCOPES", "READ", "TRADE", "Identity", "TokenVerifier", "is_api_key", "parse_jwks"]

ALGORITHM: Final = "EdDSA"
TOKEN_TYPE: Final = "at+jwt"
ROLES: Final = frozenset({"user", "admin", "analyst", "treasury", "service"})
TOKEN_MAX_CHARACTERS: Final = 8 * 1024
LIFETIME_MAX_SECONDS: Final = 3_600
CLOCK_SKEW_SECONDS: Final = 5
CACHE_MAX: Final = (
    10_000  # verified tokens; a signature costs 0.1 ms, and a client sends the same token many times
)
_HEADER_ALLOWED: Final = frozenset({"alg", "typ", "kid"})
_REQUIRED_CLAIMS: Final = ("exp", "iat", "iss", "aud", "sub", "jti", "role", "sid")


class TokenVerifier:
    """`authority` knows API keys and which tokens are over; without one, API keys are refused and tokens live until
    they expire. With one, `follow()` is to run in the background."""

    def __init__(
        self,
        *,
        jwks_url: str,
        issuer: str,
        audience: str,
        authority: Authority | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock or SystemClock()
        self._authority = authority
        self._keys = PublishedKeys(jwks_url, self._clock)
        self.changes = KnownChanges(self._clock)
        self._api_keys = ApiKeys(authority, self.changes, self._clock)
        self._verified: OrderedDict[str, Identity] = OrderedDict()
        self._generation = 0

    async def caller(self, context: Any) -> Identity:
        """The identity in a gRPC call's `authorization` metadata. Raises UNAUTHENTICATED or UNAVAILABLE."""
        values = [value for key, value in context.invocation_metadata() if key == "authorization"]
        if len(values) != 1:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return await self.identity(values[0])

    async def identity(self, authorization: str) -> Identity:
        """The identity of `Bearer <token or API key>`. Raises UNAUTHENTICATED, or UNAVAILABLE when nobody can
        tell."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_MAX_CHARACTERS or not token.isascii():
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        if is_api_key(token):
            return await self._api_keys.identity(token)
        identity = await self._access_token(token)
        if not self.still_holds(identity):
            self._verified.pop(token, None)
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return identity

    def still_holds(self, identity: Identity) -> bool:
        """Whether its credential has neither expired nor ended since, as far as is known here."""
        return self._now_seconds() < identity.expires_at_seconds and not self.changes.is_over(identity)

    async def follow(self) -> None:
        """Learns which tokens are over, for ever; ends by being cancelled."""
        if self._authority is not None:
            await self.changes.follow(self._authority)

    async def close(self) -> None:
        """Ends what still runs."""
        await asyncio.gather(self._keys.close(), self._api_keys.close())

    async def _access_token(self, token: str) -> Identity:
        self._keys.refresh_in_background()
        if self._generation != self._keys.generation:
            self._generation = self._keys.generation
            self._verified.clear()
        known = self._verified.get(token)
        if known is not None:
            return known
        identity = self._verify(token, await self._keys.key(_key_id(token)))
        self._verified[token] = identity
        if len(self._verified) > CACHE_MAX:
            self._verified.popitem(last=False)
        return identity

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
        version = claims.get("ver", 0)  # a token without one is as old as can be
        texts = [claims[name] for name in ("aud", "sub", "jti", "role", "sid")]
        if (
            not all(type(value) is int for value in (expires, issued, not_before, version))
            or not all(isinstance(text, str) and 0 < len(text) <= 200 for text in texts)
            or not is_canonical_uuid(claims["sub"])
            or claims["role"] not in ROLES
            or not now < expires <= issued + LIFETIME_MAX_SECONDS
            or issued > now + CLOCK_SKEW_SECONDS
            or not_before > now + CLOCK_SKEW_SECONDS
        ):
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return Identity(claims["sub"], claims["role"], claims["sid"], claims["jti"], expires, version=version)

    def _now_seconds(self) -> int:
        return self._clock.now_micros() // 1_000_000


def is_api_key(token: str) -> bool:
    """Whether it claims to be an API key, without a look at whether it is one."""
    return token.startswith(API_KEY_PREFIX)


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
