"""The keys access tokens are signed with: Ed25519, made on first start, kept in Postgres, public as a JWKS.

Every auth_service process reads the same table, which only role pm_auth may read; the first one to start
makes the key.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth_service.audit import AuditEntry, record
from auth_service.database import Connection, Pool, transaction
from auth_service.identity import SYSTEM_ACTOR

ALGORITHM = "EdDSA"

_FIRST_KEY_LOCK = 0x6175_7468_6B65_7973
"""Advisory lock ("authkeys"): of processes that start together, one makes the key and the others find it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One Ed25519 key; `private_key` is its 32-byte seed, absent once the key only verifies."""

    kid: str
    public_key: bytes
    private_key: bytes | None

    @classmethod
    def generate(cls) -> Self:
        """A new key; its `kid` is its RFC 7638 thumbprint, so the same key has the same name everywhere."""
        private = Ed25519PrivateKey.generate()
        public_key = private.public_key().public_bytes_raw()
        return cls(_thumbprint(public_key), public_key, private.private_bytes_raw())

    def jwk(self) -> dict[str, str]:
        """The public half (RFC 8037)."""
        return {**_bare_jwk(self.public_key), "kid": self.kid, "use": "sig", "alg": ALGORITHM}


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs, and every key whose tokens may still be valid."""

    signing: SigningKey
    published: tuple[SigningKey, ...]

    def jwks_json(self) -> str:
        """The public document (RFC 7517)."""
        return json.dumps({"keys": [key.jwk() for key in self.published]}, separators=(",", ":"))


async def load_or_create(pool: Pool) -> KeyRing:
    """The ring as Postgres has it; makes the first key when there is none."""
    async with transaction(pool) as connection:
        # Held until the commit: whoever comes second waits, and then reads the first one's key.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _FIRST_KEY_LOCK)
        ring = await _load(connection)
        if ring is None:
            await _insert_first(connection, SigningKey.generate())
            ring = await _load(connection)
    assert ring is not None, "the key that was just inserted signs"
    return ring


async def _load(connection: Connection) -> KeyRing | None:
    # Not now(), the transaction's start: whoever waited for the lock may have begun before the key was made.
    rows = await connection.fetch(
        """
        SELECT kid, public_key, private_key, retired_at IS NULL AND signs_from <= clock_timestamp() AS may_sign
        FROM signing_keys
        WHERE published_until IS NULL OR published_until > clock_timestamp()
        ORDER BY signs_from DESC, kid
        """
    )
    keys = [(SigningKey(row["kid"], row["public_key"], row["private_key"]), row["may_sign"]) for row in rows]
    signing = next((key for key, may_sign in keys if may_sign), None)
    return KeyRing(signing, tuple(key for key, _ in keys)) if signing else None


async def _insert_first(connection: Connection, key: SigningKey) -> None:
    await connection.execute(
        "INSERT INTO signing_keys (kid, algorithm, public_key, private_key) VALUES ($1, $2, $3, $4)",
        key.kid,
        ALGORITHM,
        key.public_key,
        key.private_key,
    )
    await record(
        connection,
        AuditEntry(
            actor_id=SYSTEM_ACTOR,
            action="signing_key.created",
            target=key.kid,
            reason="there was no key to sign with",
            after={"kid": key.kid, "algorithm": ALGORITHM},
        ),
    )


def _bare_jwk(public_key: bytes) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(public_key)}


def _thumbprint(public_key: bytes) -> str:
    canonical = json.dumps(_bare_jwk(public_key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
