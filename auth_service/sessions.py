"""Data access: sessions. Each is one log-in, and the family of the refresh tokens that descend from it.

Whoever ends a session writes the audit row and the note for the other services in the same transaction.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from auth_service import token_changes
from auth_service.audit import AuditEntry, record, record_all
from auth_service.database import Connection
from auth_service.tokens import Role
from auth_service.users import Account
from runtime.clock import from_datetime

SESSIONS_MAX = 50
"""Open sessions of one account; opening another ends the one used longest ago."""


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    """How long a refresh token waits to be used, and how long a session lasts however often it is used."""

    refresh_token: timedelta = timedelta(days=14)
    session: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session with the one refresh token that is live; the expiry in microseconds since the Unix epoch."""

    session_id: UUID
    user_id: UUID
    role: Role
    access_version: int
    refresh_token: str
    refresh_expires_at: int


@dataclass(frozen=True, slots=True)
class OpenSession:
    """What its owner sees of a session; times in microseconds since the Unix epoch."""

    session_id: UUID
    user_agent: str
    created_at: int
    last_used_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Ending:
    """Why sessions end: `reason` is one of the CHECK on `sessions.revoked_reason`, `why` is for people who read the
    audit log, `actor_id` who did it."""

    actor_id: UUID
    reason: str
    why: str


async def insert(
    connection: Connection, account: Account, user_agent: str, lifetimes: SessionLifetimes, *, why: str
) -> UUID:
    """A new session, without a refresh token yet. The caller holds the account's row lock."""
    session_id = uuid.uuid4()
    await _end_beyond_limit(connection, account.user_id)
    await connection.execute(
        """
        INSERT INTO sessions (session_id, user_id, user_agent, expires_at)
        VALUES ($1, $2, $3, now() + $4::interval)
        """,
        session_id,
        account.user_id,
        user_agent,
        lifetimes.session,
    )
    await record(
        connection,
        AuditEntry(account.user_id, "session.opened", str(session_id), why, after={"user_agent": user_agent}),
    )
    return session_id


async def list_open(connection: Connection, user_id: UUID) -> list[OpenSession]:
    """The one used last first; at most SESSIONS_MAX."""
    rows = await connection.fetch(
        """
        SELECT session_id, user_agent, created_at, last_used_at, expires_at FROM sessions
        WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()
        ORDER BY last_used_at DESC, session_id LIMIT $2
        """,
        user_id,
        SESSIONS_MAX,
    )
    return [
        OpenSession(
            row["session_id"],
            row["user_agent"],
            from_datetime(row["created_at"]),
            from_datetime(row["last_used_at"]),
            from_datetime(row["expires_at"]),
        )
        for row in rows
    ]


async def is_of(connection: Connection, session_id: UUID, user_id: UUID) -> bool:
    """Whether there is such a session of this user, open or over."""
    return bool(
        await connection.fetchval(
            "SELECT true FROM sessions WHERE session_id = $1 AND user_id = $2", session_id, user_id
        )
    )


async def end(connection: Connection, session_id: UUID, *, reason: str, why: str) -> bool:
    """Ends a session by its own user's act; False when it was over, or never was."""
    rows = await connection.fetch(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = $2
        WHERE session_id = $1 AND revoked_at IS NULL RETURNING session_id, user_id
        """,
        session_id,
        reason,
    )
    if rows:
        await _note(connection, rows, Ending(rows[0]["user_id"], reason, why))
    return bool(rows)


async def end_all(connection: Connection, user_id: UUID, ending: Ending, *, but: UUID | None = None) -> int:
    """Ends a user's open sessions, all or all `but` one; how many. The caller holds the account's row lock."""
    rows = await connection.fetch(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = $2
        WHERE user_id = $1 AND revoked_at IS NULL AND session_id IS DISTINCT FROM $3::uuid AND expires_at > now()
        RETURNING session_id
        """,
        user_id,
        ending.reason,
        but,
    )
    await _note(connection, rows, ending)
    return len(rows)


async def _end_beyond_limit(connection: Connection, user_id: UUID) -> None:
    """Makes room for one more session, ending those used longest ago."""
    ended = await connection.fetch(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = 'TOO_MANY_SESSIONS'
        WHERE session_id IN (
            SELECT session_id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()
            ORDER BY last_used_at DESC, session_id OFFSET $2
        ) AND revoked_at IS NULL
        RETURNING session_id
        """,
        user_id,
        SESSIONS_MAX - 1,
    )
    why = f"more than {SESSIONS_MAX} open sessions"
    await _note(connection, ended, Ending(user_id, "TOO_MANY_SESSIONS", why))


async def _note(connection: Connection, rows: Sequence[asyncpg.Record], ending: Ending) -> None:
    """The audit rows of ended sessions, and the note for whoever checks their tokens."""
    if not rows:
        return
    ids: list[UUID] = [row["session_id"] for row in rows]
    after = {"revoked_reason": ending.reason}
    await record_all(
        connection,
        [AuditEntry(ending.actor_id, "session.ended", str(each), ending.why, after=after) for each in ids],
    )
    await token_changes.note_sessions(connection, ids)
