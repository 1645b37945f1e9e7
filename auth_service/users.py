"""Data access: the `users` table. Rows become dataclasses here and nowhere else."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from auth_service.database import Connection
from auth_service.tokens import Role
from runtime.clock import from_datetime

_COLUMNS = "user_id, email, display_name, role, status, created_at, granted_at IS NOT NULL AS is_granted"


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


async def find_credentials(connection: Connection, email: str) -> Credentials | None:
    """What a log-in with this e-mail address is compared with."""
    row = await connection.fetchrow(
        'SELECT user_id, password_hash FROM users WHERE lower(email COLLATE "C") = lower($1 COLLATE "C")',
        email,
    )
    return Credentials(row["user_id"], row["password_hash"]) if row else None


async def lock_verified(connection: Connection, credentials: Credentials) -> Account | None:
    """Locks the account until the transaction ends; None when its password is no longer the verified one."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM users WHERE user_id = $1 AND password_hash = $2 FOR NO KEY UPDATE",
        credentials.user_id,
        credentials.password_hash,
    )
    return _account(row) if row else None


async def set_password_hash(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """The same password under newer parameters: `password_changed_at` stays."""
    await connection.execute("UPDATE users SET password_hash = $2 WHERE user_id = $1", user_id, password_hash)


async def set_display_name(connection: Connection, user_id: UUID, display_name: str) -> Account | None:
    """The changed account; None when it is suspended, or there is none."""
    row = await connection.fetchrow(
        f"UPDATE users SET display_name = $2 WHERE user_id = $1 AND status = 'active' RETURNING {_COLUMNS}",
        user_id,
        display_name,
    )
    return _account(row) if row else None


def _account(row: asyncpg.Record) -> Account:
    return Account(
        user_id=row["user_id"],
        email=row["email"] or "",
        display_name=row["display_name"],
        role=row["role"],
        is_suspended=row["status"] != "active",
        created_at=from_datetime(row["created_at"]),
        is_granted=row["is_granted"],
    )
