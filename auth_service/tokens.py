"""What a session hands out: signed access tokens, and opaque refresh tokens stored only as hashes."""

import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth_service.identity import BadField
from auth_service.keys import ALGORITHM, SigningKey

Role = Literal["user", "analyst", "admin", "treasury", "service"]

NO_SESSION = UUID(int=0)
"""The `sid` of tokens our own processes sign for themselves."""


@dataclass(frozen=True, slots=True)
class AccessTokenSettings:
    """Who issues access tokens, for whom, and for how long."""

    issuer: str = "predmarket"
    audience: str = "predmarket-api"
    lifetime_seconds: int = 900


class AccessTokenIssuer:
    """Signs access tokens (RFC 9068): header alg, kid, typ; claims iss aud sub iat exp jti role sid ver."""

    def __init__(self, key: SigningKey, settings: AccessTokenSettings) -> None:
        self._settings = settings
        self.use(key)

    def use(self, key: SigningKey) -> None:
        """Signs with this key from now on."""
        assert key.private_key is not None, "only a key that has not been retired signs"
        self._kid = key.kid
        self._private_key = Ed25519PrivateKey.from_private_bytes(key.private_key)

    def issue(
        self, *, user_id: UUID, role: Role, session_id: UUID, issued_at_seconds: int, access_version: int = 0
    ) -> tuple[str, int]:
        """The token, and when it expires (seconds since the Unix epoch, like every time in a JWT)."""
        lifetime_seconds = self._settings.lifetime_seconds
        return self._sign(user_id, role, session_id, issued_at_seconds, lifetime_seconds, access_version)

    def issue_for_service(self, *, service_id: UUID, issued_at_seconds: int, lifetime_seconds: int) -> str:
        """A token with role `service`, for a call between our own processes."""
        return self._sign(service_id, "service", NO_SESSION, issued_at_seconds, lifetime_seconds, 0)[0]

    def _sign(
        self,
        subject: UUID,
        role: Role,
        session_id: UUID,
        issued_at_seconds: int,
        lifetime_seconds: int,
        access_version: int,
    ) -> tuple[str, int]:
        expires_at_seconds = issued_at_seconds + lifetime_seconds
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": str(subject),
            "iat": issued_at_seconds,
            "exp": expires_at_seconds,
            "jti": str(uuid.uuid4()),
            "role": role,
            "sid": str(session_id),
            "ver": access_version,
        }
        headers = {"typ": "at+jwt", "kid": self._kid}
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers=headers), expires_at_seconds


@dataclass(frozen=True, slots=True)
class OpaqueKind:
    """A kind of random token: 256 bits; the prefix tells a person, and a scanner of leaked secrets, what it is."""

    prefix: str
    field: str
    called: str

    def new(self) -> str:
        return self.prefix + secrets.token_urlsafe(32)

    def hash(self, token: str) -> bytes:
        """What is stored. One plain SHA-256 is enough: there is nothing to guess in 256 random bits.

        Raises BadField for what cannot be one.
        """
        if not re.fullmatch(rf"{self.prefix}[A-Za-z0-9_-]{{43}}", token):
            raise BadField(self.field, f"This is not {self.called}.")
        return hashlib.sha256(token.encode()).digest()


REFRESH_TOKEN = OpaqueKind("pmr_", "refresh_token", "a refresh token")
AUTHORIZATION_CODE = OpaqueKind("pma_", "code", "an authorization code")
RESET_TOKEN = OpaqueKind("pmp_", "token", "a token of a mail")
