"""API keys: made once, stored as a hash, checked for every service.

`pmk_<key id>_<secret>`: the id finds the row, the secret is 256 random bits, of which one plain SHA-256 is kept.
"""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from auth_service import token_changes, users
from auth_service.audit import AuditEntry, Facts, record
from auth_service.database import Connection
from auth_service.identity import BadField, clean_label
from auth_service.tokens import Role
from runtime.api_keys import API_KEY, API_KEY_PREFIX
from runtime.clock import Clock, from_datetime, to_datetime
from runtime.errors import ApiError, ErrorCode
from runtime.identity import ALL_SCOPES, NEVER_SECONDS, Identity

KEYS_MAX: Final = 20
"""Keys of one account that are neither revoked nor expired."""

USED_EVERY_SECONDS: Final = 60
"""How exactly `last_used_at` is kept."""

_COLUMNS = "api_key_id, name, scopes, tier, created_at, expires_at, last_used_at"
_IS_LIVE = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret; times in microseconds since the Unix epoch, 0: never."""

    api_key_id: UUID
    name: str
    scopes: tuple[str, ...]
    tier: str
    created_at: int
    expires_at: int
    last_used_at: int


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Who a key is; `expires_at` in microseconds since the Unix epoch, 0: never."""

    api_key_id: UUID
    user_id: UUID
    role: Role
    scopes: tuple[str, ...]
    tier: str
    expires_at: int
    access_version: int

    def identity(self) -> Identity:
        """As the services' verifiers know it."""
        return Identity(
            user_id=str(self.user_id),
            role=self.role,
            session_id="",
            token_id=str(self.api_key_id),
            expires_at_seconds=self.expires_at // 1_000_000 or NEVER_SECONDS,
            scopes=frozenset(self.scopes),
            tier=self.tier,
            api_key_id=str(self.api_key_id),
            version=self.access_version,
        )


class ApiKeyDesk:
    """What owners do with their keys; each change in the caller's transaction."""

    def __init__(self, tier: str, clock: Clock) -> None:
        self._tier = tier
        self._clock = clock

    async def create(
        self,
        connection: Connection,
        caller: Identity,
        *,
        name: str,
        scopes: Sequence[str],
        expires_at: int,
    ) -> tuple[ApiKey, str]:
        """The key and, this once, its secret. `expires_at` in microseconds since the Unix epoch, 0: never."""
        name = clean_label("name", name)
        if not scopes or len(set(scopes)) != len(scopes) or not ALL_SCOPES.issuperset(scopes):
            raise BadField("scopes", "Name READ, TRADE or both, each once.")
        if expires_at and not self._clock.now_micros() < expires_at < NEVER_SECONDS * 1_000_000:
            raise BadField("expires_at", "This is not a time to come.")
        await users.lock_caller(connection, caller)
        user_id = UUID(caller.user_id)
        live = await connection.fetchval(
            f"SELECT count(*) FROM api_keys WHERE user_id = $1 AND {_IS_LIVE}", user_id
        )
        if live >= KEYS_MAX:
            raise ApiError(ErrorCode.TOO_MANY_API_KEYS)
        api_key_id, secret = uuid.uuid4(), secrets.token_urlsafe(32)
        [row] = await connection.fetch(
            f"""
            INSERT INTO api_keys (api_key_id, user_id, name, secret_hash, scopes, tier, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}
            """,
            api_key_id,
            user_id,
            name,
            _hash(secret),
            sorted(scopes),
            self._tier,
            to_datetime(expires_at) if expires_at else None,
        )
        after: Facts = {
            "name": name,
            "scopes": " ".join(sorted(scopes)),
            "tier": self._tier,
            "expires_at": expires_at,
        }
        entry = AuditEntry(user_id, "api_key.created", str(api_key_id), "asked for by its owner", after=after)
        await record(connection, entry)
        return _api_key(row), f"{API_KEY_PREFIX}{api_key_id.hex}_{secret}"

    async def revoke(self, connection: Connection, caller: Identity, api_key_id: UUID) -> None:
        """Ends a key of the caller; again: does nothing. Raises NOT_FOUND, also for another's."""
        await users.lock_caller(connection, caller)
        user_id = UUID(caller.user_id)
        row = await connection.fetchrow(
            "SELECT revoked_at FROM api_keys WHERE api_key_id = $1 AND user_id = $2", api_key_id, user_id
        )
        if row is None:
            raise ApiError(ErrorCode.NOT_FOUND, "You have no API key with this id.")
        if row["revoked_at"] is not None:
            return
        await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE api_key_id = $1", api_key_id)
        entry = AuditEntry(user_id, "api_key.revoked", str(api_key_id), "asked for by its owner")
        await record(connection, entry)
        await token_changes.note_api_key(connection, api_key_id)


async def list_live(connection: Connection, user_id: UUID) -> list[ApiKey]:
    """Newest first; at most KEYS_MAX."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM api_keys WHERE user_id = $1 AND {_IS_LIVE}
        ORDER BY created_at DESC, api_key_id LIMIT $2
        """,
        user_id,
        KEYS_MAX,
    )
    return [_api_key(row) for row in rows]


async def check(connection: Connection, api_key: str) -> KeyOwner | None:
    """Who a key is; None when it is none, over, or its owner may not come in."""
    parts = API_KEY.fullmatch(api_key)
    if parts is None:
        return None
    row = await connection.fetchrow(
        f"""
        SELECT api_key_id, user_id, secret_hash, role, scopes, tier, expires_at, access_version,
               last_used_at IS NULL OR last_used_at < now() - make_interval(secs => $2) AS is_news
        FROM api_keys JOIN users USING (user_id) WHERE api_key_id = $1 AND status = 'active' AND {_IS_LIVE}
        """,
        UUID(hex=parts[1]),
        USED_EVERY_SECONDS,
    )
    if row is None or not hmac.compare_digest(row["secret_hash"], _hash(parts[2])):
        return None
    if row["is_news"]:
        await connection.execute(
            "UPDATE api_keys SET last_used_at = now() WHERE api_key_id = $1", row["api_key_id"]
        )
    return KeyOwner(
        row["api_key_id"],
        row["user_id"],
        row["role"],
        tuple(row["scopes"]),
        row["tier"],
        from_datetime(row["expires_at"]) if row["expires_at"] else 0,
        row["access_version"],
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _api_key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(
        row["api_key_id"],
        row["name"],
        tuple(row["scopes"]),
        row["tier"],
        from_datetime(row["created_at"]),
        from_datetime(row["expires_at"]) if row["expires_at"] else 0,
        from_datetime(row["last_used_at"]) if row["last_used_at"] else 0,
    )
