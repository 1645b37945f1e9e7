"""Data access: the `users` table. Rows become dataclasses here and nowhere else."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from auth_service.database import Connection
from auth_service.tokens import Role
from runtime.clock import from_datetime
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity

_COLUMNS = """users.user_id, email, display_name, role, status, users.created_at, granted_at IS NOT NULL AS
is_granted,
    access_version"""


@dataclass(frozen=True, slots=True)
class Account:
    """A person's (or the treasury's) account; `created_at` in microseconds since the Unix epoch."""

    user_id: UUID
    email: str
    display_name: str
    role: Role
    is_suspended: bool
    created_at: int
    is_granted: bool
    access_version: int
    """The claim `ver` of its access tokens."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a log-in is compared with; no `password_hash`: nobody can log in."""

    user_id: UUID
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account about to be made; `email` None and `password_hash` None for the treasury alone."""

    user_id: UUID
    email: str | None
    display_name: str
    role: Role
    password_hash: str | None
    grant_micros: int
    grant_after_seconds: float = 0.0
    """How long the loop of first grants leaves it to whoever makes the account."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of accounts ended."""

    created_at: datetime
    user_id: UUID


async def insert(connection: Connection, user: NewUser) -> Account | None:
    """Makes the account; None when its e-mail (or id) is taken. A grant of 0 counts as paid."""
    row = await connection.fetchrow(
        f"""
        INSERT INTO users (user_id, email, display_name, role, password_hash, grant_micros,
                           granted_at, grant_next_attempt_at)
        VALUES ($1, $2, $3, $4, $5, $6::bigint,
                CASE WHEN $6::bigint = 0 THEN now() END, now() + make_interval(secs => $7))
        ON CONFLICT DO NOTHING
        RETURNING {_COLUMNS}
        """,
        user.user_id,
        user.email,
        user.display_name,
        user.role,
        user.password_hash,
        user.grant_micros,
        user.grant_after_seconds,
    )
    return _account(row) if row else None


async def find(connection: Connection, user_id: UUID) -> Account | None:
    """The account as it is."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM users WHERE user_id = $1", user_id)
    return _account(row) if row else None


async def find_by_email(connection: Connection, email: str) -> Account | None:
    """The account of an e-mail address, without regard to case."""
    row = await connection.fetchrow(
        f'SELECT {_COLUMNS} FROM users WHERE lower(email COLLATE "C") = lower($1 COLLATE "C")', email
    )
    return _account(row) if row else None


async def search(
    connection: Connection,
    *,
    q: str,
    role: Role | None,
    is_suspended: bool | None,
    before: Place | None,
    most: int,
) -> list[Account]:
    """Newest first. `q`: part of an e-mail address or a name in any case, or a whole id; empty: everybody."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM users
        WHERE ($1 = '' OR strpos(lower(email), lower($1)) > 0 OR strpos(lower(display_name), lower($1)) > 0
               OR user_id::text = lower($1))
          AND ($2::text IS NULL OR role = $2)
          AND ($3::boolean IS NULL OR (status = 'suspended') = $3)
          AND ($4::timestamptz IS NULL OR (created_at, user_id) < ($4, $5::uuid))
        ORDER BY created_at DESC, user_id DESC LIMIT $6
        """,
        q,
        role,
        is_suspended,
        before.created_at if before else None,
        before.user_id if before else None,
        most,
    )
    return [_account(row) for row in rows]


async def count_admins(connection: Connection) -> int:
    """Those who may come in."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM users WHERE role = 'admin' AND status = 'active'"
    )
    return count


async def find_credentials(connection: Connection, email: str) -> Credentials | None:
    """What a log-in with this e-mail address is compared with."""
    row = await connection.fetchrow(
        'SELECT user_id, password_hash FROM users WHERE lower(email COLLATE "C") = lower($1 COLLATE "C")',
        email,
    )
    return Credentials(row["user_id"], row["password_hash"]) if row else None


async def credentials_of(connection: Connection, user_id: UUID) -> Credentials | None:
    """What this account's password is compared with."""
    row = await connection.fetchrow("SELECT user_id, password_hash FROM users WHERE user_id = $1", user_id)
    return Credentials(row["user_id"], row["password_hash"]) if row else None


async def lock_verified(connection: Connection, credentials: Credentials) -> Account | None:
    """Locks the account until the transaction ends; None when its password is no longer the verified one."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM users WHERE user_id = $1 AND password_hash = $2 FOR NO KEY UPDATE",
        credentials.user_id,
        credentials.password_hash,
    )
    return _account(row) if row else None


async def lock(connection: Connection, user_id: UUID) -> Account | None:
    """Locks the account until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM users WHERE user_id = $1 FOR NO KEY UPDATE", user_id
    )
    return _account(row) if row else None


async def lock_caller(connection: Connection, caller: Identity) -> Account:
    """Locks the account of an access token; from now until the transaction ends its session is open and nobody
    suspends it. Raises UNAUTHENTICATED or ACCOUNT_SUSPENDED."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM users JOIN sessions ON sessions.user_id = users.user_id
        WHERE users.user_id = $1 AND session_id = $2 AND revoked_at IS NULL AND expires_at > now()
        FOR NO KEY UPDATE OF users
        """,
        UUID(caller.user_id),
        UUID(caller.session_id),
    )
    if row is None:
        raise ApiError(ErrorCode.UNAUTHENTICATED)
    account = _account(row)
    if account.is_suspended:
        raise ApiError(ErrorCode.ACCOUNT_SUSPENDED)
    return account


async def set_password(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """Another password."""
    await connection.execute(
        "UPDATE users SET password_hash = $2, password_changed_at = now() WHERE user_id = $1",
        user_id,
        password_hash,
    )


async def set_access(
    connection: Connection, user_id: UUID, *, role: Role | None = None, is_suspended: bool | None = None
) -> Account:
    """Changes role or status and raises the access version: what tokens said before is no longer true."""
    status = None if is_suspended is None else ("suspended" if is_suspended else "active")
    [row] = await connection.fetch(
        f"""
        UPDATE users SET role = coalesce($2, role), status = coalesce($3, status), access_changed_at = now(),
                         access_version = access_version + 1
        WHERE user_id = $1 RETURNING {_COLUMNS}
        """,
        user_id,
        role,
        status,
    )
    return _account(row)


async def set_password_hash(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """The same password under newer parameters: `password_changed_at` stays."""
    await connection.execute("UPDATE users SET password_hash = $2 WHERE user_id = $1", user_id, password_hash)


async def set_display_name(connection: Connection, user_id: UUID, display_name: str) -> Account:
    """The account after the change; there is one."""
    [row] = await connection.fetch(
        f"UPDATE users SET display_name = $2 WHERE user_id = $1 RETURNING {_COLUMNS}", user_id, display_name
    )
    return _account(row)


def _account(row: asyncpg.Record) -> Account:
    return Account(
        user_id=row["user_id"],
        email=row["email"] or "",
        display_name=row["display_name"],
        role=row["role"],
        is_suspended=row["status"] != "active",
        created_at=from_datetime(row["created_at"]),
        is_granted=row["is_granted"],
        access_version=row["access_version"],
    )
