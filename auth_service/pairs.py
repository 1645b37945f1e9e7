"""Sessions and what they hand out: the one place where a session becomes an access token and a refresh token."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from auth_service import refresh_tokens
from auth_service.database import Connection
from auth_service.identity import clean_user_agent
from auth_service.sessions import LiveSession, SessionLifetimes
from auth_service.tokens import AccessTokenIssuer
from auth_service.users import Account
from runtime.clock import Clock

MICROS_PER_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a session hands its owner; times in microseconds since the Unix epoch."""

    access_token: str
    access_expires_at: int
    refresh_token: str
    refresh_expires_at: int
    session_id: UUID


class Pairs:
    """Opens sessions, and signs."""

    def __init__(self, issuer: AccessTokenIssuer, lifetimes: SessionLifetimes, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self.lifetimes = lifetimes

    async def open(self, connection: Connection, account: Account, user_agent: str, *, why: str) -> TokenPair:
        """A new session of an account whose row the caller has locked; to be handed out after the commit."""
        session = await refresh_tokens.open_session(
            connection, account, clean_user_agent(user_agent), self.lifetimes, why=why
        )
        return self.of(session)

    def of(self, session: LiveSession) -> TokenPair:
        """Signs for a session as it is now."""
        access_token, expires_at_seconds = self._issuer.issue(
            user_id=session.user_id,
            role=session.role,
            session_id=session.session_id,
            issued_at_seconds=self._clock.now_micros() // MICROS_PER_SECOND,
            access_version=session.access_version,
        )
        return TokenPair(
            access_token=access_token,
            access_expires_at=expires_at_seconds * MICROS_PER_SECOND,
            refresh_token=session.refresh_token,
            refresh_expires_at=session.refresh_expires_at,
            session_id=session.session_id,
        )
