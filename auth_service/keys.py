"""The keys access tokens are signed with: Ed25519, made on first start, kept in Postgres, public as a JWKS.

Every auth_service process reads the same table, which only role pm_auth may read; the first one to start makes the
first key. A further key is published for a while before it signs, and an old one for as long as its tokens live:
whoever verifies knows every key it meets.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth_service.audit import AuditEntry, Facts, record
from auth_service.database import Connection, Pool, transaction
from auth_service.identity import SYSTEM_ACTOR
from runtime.tokens import LIFETIME_MAX_SECONDS

ALGORITHM = "EdDSA"

_KEYS_LOCK = 0x6175_7468_6B65_7973
"""Advisory lock ("authkeys"): of processes that would make a key at once, one does and the others find it."""

SUPERSEDED_FOR = timedelta(seconds=60)
"""Every process has taken the new key into use long before."""

PUBLISHED_AFTERWARDS = timedelta(seconds=LIFETIME_MAX_SECONDS + 60)
"""No access token lives longer."""


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
        await _lock(connection)
        ring = await load(connection)
        if ring is None:
            await _insert(
                connection, SigningKey.generate(), SYSTEM_ACTOR, "there was no key to sign with", timedelta()
            )
            ring = await load(connection)
    assert ring is not None, "the key that was just inserted signs"
    return ring


async def load(connection: Connection) -> KeyRing | None:
    """None: no key signs."""
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


async def add(
    connection: Connection,
    *,
    actor_id: UUID,
    reason: str,
    publish_ahead: timedelta,
    unless_newer_than: timedelta | None = None,
) -> str | None:
    """Another key, which is published now and signs after `publish_ahead`; its kid. None when the newest key is no
    older than `unless_newer_than`, or does not sign yet: one change at a time."""
    await _lock(connection)
    is_fresh = await connection.fetchval(
        """
        SELECT bool_or(signs_from > clock_timestamp() OR created_at > clock_timestamp() - $1::interval)
        FROM signing_keys WHERE retired_at IS NULL
        """,
        unless_newer_than or timedelta(),
    )
    if is_fresh:
        return None
    key = SigningKey.generate()
    await _insert(connection, key, actor_id, reason, publish_ahead)
    return key.kid


async def retire_superseded(connection: Connection) -> list[str]:
    """Retires keys that have had a successor for long enough that no process signs with them any more: their private
    half is erased, their public half stays until the last token they signed has expired."""
    rows = await connection.fetch(
        """
        UPDATE signing_keys SET retired_at = now(), private_key = NULL, published_until = now() + $1::interval
        WHERE retired_at IS NULL AND EXISTS (
            SELECT FROM signing_keys AS newer WHERE newer.retired_at IS NULL
                AND newer.signs_from > signing_keys.signs_from AND newer.signs_from <= now() - $2::interval)
        RETURNING kid
        """,
        PUBLISHED_AFTERWARDS,
        SUPERSEDED_FOR,
    )
    for row in rows:
        entry = AuditEntry(
            SYSTEM_ACTOR, "signing_key.retired", row["kid"], "another key signs", after={"kid": row["kid"]}
        )
        await record(connection, entry)
    return [row["kid"] for row in rows]


async def _lock(connection: Connection) -> None:
    """Held until the commit: whoever comes second waits, and then reads what the first one wrote."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _KEYS_LOCK)


async def _insert(
    connection: Connection, key: SigningKey, actor_id: UUID, reason: str, publish_ahead: timedelta
) -> None:
    await connection.execute(
        """
        INSERT INTO signing_keys (kid, algorithm, public_key, private_key, signs_from)
        VALUES ($1, $2, $3, $4, now() + $5::interval)
        """,
        key.kid,
        ALGORITHM,
        key.public_key,
        key.private_key,
        publish_ahead,
    )
    after: Facts = {
        "kid": key.kid,
        "algorithm": ALGORITHM,
        "publish_ahead_seconds": int(publish_ahead.total_seconds()),
    }
    await record(connection, AuditEntry(actor_id, "signing_key.created", key.kid, reason, after=after))


def _bare_jwk(public_key: bytes) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(public_key)}


def _thumbprint(public_key: bytes) -> str:
    canonical = json.dumps(_bare_jwk(public_key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
