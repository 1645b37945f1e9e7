"""Data access: sessions, and the refresh tokens that descend from each other within one.

A session is a family of refresh tokens of which at most one is live; the database refuses a second. Using a
token that was used before ends the family: whoever stole it, and whoever it was stolen from, are both out.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from uuid import UUID

from auth_service.audit import AuditEntry, record, record_all
from auth_service.database import Connection
from auth_service.tokens import Role, new_refresh_token, refresh_token_hash
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
    refresh_token: str
    refresh_expires_at: int


class RotationRefusal(Enum):
    """Why a refresh token was not exchanged. The caller is not told which, except that it is suspended."""

    UNKNOWN = auto()
    EXPIRED = auto()
    SESSION_OVER = auto()
    REUSED = auto()
    SUSPENDED = auto()


async def open_session(
    connection: Connection, user_id: UUID, role: Role, user_agent: str, lifetimes: SessionLifetimes
) -> LiveSession:
    """Opens a session with its first refresh token. The caller holds the account's row lock."""
    session_id = uuid.uuid4()
    await _end_beyond_limit(connection, user_id)
    await connection.execute(
        """
        INSERT INTO sessions (session_id, user_id, user_agent, expires_at)
        VALUES ($1, $2, $3, now() + $4::interval)
        """,
        session_id,
        user_id,
        user_agent,
        lifetimes.session,
    )
    await record(
        connection,
        AuditEntry(user_id, "session.opened", str(session_id), "logged in", after={"user_agent": user_agent}),
    )
    token, expires_at = await _add_token(connection, session_id, 0, lifetimes)
    return LiveSession(session_id, user_id, role, token, expires_at)


async def rotate(
    connection: Connection, token_hash: bytes, lifetimes: SessionLifetimes
) -> LiveSession | RotationRefusal:
    """Exchanges a refresh token for the next one of its session.

    A refusal is to be committed too: it may have ended the session.
    """
    # One conditional update decides: of two at once, the second waits here and then finds the token used.
    used = await connection.fetchrow(
        """
        UPDATE refresh_tokens SET used_at = now() WHERE token_hash = $1 AND used_at IS NULL
        RETURNING session_id, generation, expires_at > now() AS is_fresh
        """,
        token_hash,
    )
    if used is None:
        return await _end_if_reused(connection, token_hash)
    if not used["is_fresh"]:
        return RotationRefusal.EXPIRED
    session = await connection.fetchrow(
        """
        UPDATE sessions SET last_used_at = now() FROM users
        WHERE session_id = $1 AND users.user_id = sessions.user_id
          AND revoked_at IS NULL AND expires_at > now()
        RETURNING sessions.user_id, role, status
        """,
        used["session_id"],
    )
    if session is None:
        return RotationRefusal.SESSION_OVER
    if session["status"] != "active":
        return RotationRefusal.SUSPENDED
    token, expires_at = await _add_token(connection, used["session_id"], used["generation"] + 1, lifetimes)
    return LiveSession(used["session_id"], session["user_id"], session["role"], token, expires_at)


async def end_session(connection: Connection, session_id: UUID, *, reason: str, why: str) -> bool:
    """Ends a session by its own user's act; False when it was over, or never was.

    `reason` is one of the CHECK on `sessions.revoked_reason`, `why` is for people who read the audit log.
    """
    user_id: UUID | None = await connection.fetchval(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = $2
        WHERE session_id = $1 AND revoked_at IS NULL RETURNING user_id
        """,
        session_id,
        reason,
    )
    if user_id is not None:
        await record(
            connection,
            AuditEntry(user_id, "session.ended", str(session_id), why, after={"revoked_reason": reason}),
        )
    return user_id is not None


async def session_of(connection: Connection, token_hash: bytes) -> UUID | None:
    """The session any of its refresh tokens belongs to, used ones too."""
    session_id: UUID | None = await connection.fetchval(
        "SELECT session_id FROM refresh_tokens WHERE token_hash = $1", token_hash
    )
    return session_id


async def _end_if_reused(connection: Connection, token_hash: bytes) -> RotationRefusal:
    session_id = await session_of(connection, token_hash)
    if session_id is None:
        return RotationRefusal.UNKNOWN
    await end_session(
        connection, session_id, reason="TOKEN_REUSED", why="a refresh token was used a second time"
    )
    return RotationRefusal.REUSED


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
    after = {"revoked_reason": "TOO_MANY_SESSIONS"}
    why = f"more than {SESSIONS_MAX} open sessions"
    await record_all(
        connection,
        [AuditEntry(user_id, "session.ended", str(row["session_id"]), why, after=after) for row in ended],
    )


async def _add_token(
    connection: Connection, session_id: UUID, generation: int, lifetimes: SessionLifetimes
) -> tuple[str, int]:
    token = new_refresh_token()
    expires_at = await connection.fetchval(
        """
        INSERT INTO refresh_tokens (token_hash, session_id, generation, expires_at)
        SELECT $1, session_id, $3, least(now() + $4::interval, expires_at) FROM sessions WHERE session_id = $2
        RETURNING expires_at
        """,
        refresh_token_hash(token),
        session_id,
        generation,
        lifetimes.refresh_token,
    )
    return token, from_datetime(expires_at)
