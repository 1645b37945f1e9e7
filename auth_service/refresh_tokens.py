"""Data access: the refresh tokens of a session, of which at most one is live; the database refuses a second.

Using a token that was used before ends the family: whoever stole it, and whoever it was stolen from, are both out.
"""

from enum import Enum, auto
from uuid import UUID

from auth_service import sessions
from auth_service.database import Connection
from auth_service.sessions import LiveSession, SessionLifetimes
from auth_service.tokens import REFRESH_TOKEN
from auth_service.users import Account
from runtime.clock import from_datetime


class RotationRefusal(Enum):
    """Why a refresh token was not exchanged. The caller is not told which, except that it is suspended."""

    UNKNOWN = auto()
    EXPIRED = auto()
    SESSION_OVER = auto()
    REUSED = auto()
    SUSPENDED = auto()


async def open_session(
    connection: Connection,
    account: Account,
    user_agent: str,
    lifetimes: SessionLifetimes,
    *,
    why: str = "logged in",
) -> LiveSession:
    """Opens a session with its first refresh token. The caller holds the account's row lock."""
    session_id = await sessions.insert(connection, account, user_agent, lifetimes, why=why)
    token, expires_at = await _add(connection, session_id, 0, lifetimes)
    return LiveSession(session_id, account.user_id, account.role, account.access_version, token, expires_at)


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
        RETURNING sessions.user_id, role, status, access_version
        """,
        used["session_id"],
    )
    if session is None:
        return await _why_over(connection, used["session_id"])
    if session["status"] != "active":
        return RotationRefusal.SUSPENDED
    token, expires_at = await _add(connection, used["session_id"], used["generation"] + 1, lifetimes)
    return LiveSession(
        used["session_id"],
        session["user_id"],
        session["role"],
        session["access_version"],
        token,
        expires_at,
    )


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
    await sessions.end(
        connection, session_id, reason="TOKEN_REUSED", why="a refresh token was used a second time"
    )
    return RotationRefusal.REUSED


async def _why_over(connection: Connection, session_id: UUID) -> RotationRefusal:
    is_suspended = await connection.fetchval(
        """
        SELECT revoked_reason = 'SUSPENDED' AND status = 'suspended' FROM sessions JOIN users USING (user_id)
        WHERE session_id = $1
        """,
        session_id,
    )
    return RotationRefusal.SUSPENDED if is_suspended else RotationRefusal.SESSION_OVER


async def _add(
    connection: Connection, session_id: UUID, generation: int, lifetimes: SessionLifetimes
) -> tuple[str, int]:
    token = REFRESH_TOKEN.new()
    expires_at = await connection.fetchval(
        """
        INSERT INTO refresh_tokens (token_hash, session_id, generation, expires_at)
        SELECT $1, session_id, $3, least(now() + $4::interval, expires_at) FROM sessions WHERE session_id = $2
        RETURNING expires_at
        """,
        REFRESH_TOKEN.hash(token),
        session_id,
        generation,
        lifetimes.refresh_token,
    )
    return token, from_datetime(expires_at)
