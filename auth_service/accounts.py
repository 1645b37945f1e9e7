"""What people do with their accounts: register, log in, refresh, log out, look at and change themselves.

Refusals leave as runtime.errors.ApiError or as BadField. Hashing happens before a transaction begins, never
inside one.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from auth_service import metrics, sessions, users
from auth_service.audit import AuditEntry, record
from auth_service.database import Connection, Pool, borrowed, transaction
from auth_service.grants import DueGrant, FirstGrants
from auth_service.hashing import BoundedHasher
from auth_service.identity import (
    clean_display_name,
    clean_email,
    clean_user_agent,
    neutral_display_name,
)
from auth_service.passwords import clean_new_password, clean_offered_password
from auth_service.sessions import LiveSession, RotationRefusal, SessionLifetimes
from auth_service.tokens import AccessTokenIssuer, refresh_token_hash
from auth_service.users import Account, NewUser
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.ids import uuid7
from runtime.logs import get_logger

log = get_logger(__name__)

MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What a new account gets, and how long sessions last."""

    signup_grant_micros: int
    grant_wait_seconds: float
    lifetimes: SessionLifetimes


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a session hands its owner; times in microseconds since the Unix epoch."""

    access_token: str
    access_expires_at: int
    refresh_token: str
    refresh_expires_at: int
    session_id: UUID


class Accounts:
    """The use cases behind AuthService, free of gRPC."""

    def __init__(
        self,
        *,
        pool: Pool,
        hasher: BoundedHasher,
        issuer: AccessTokenIssuer,
        grants: FirstGrants,
        settings: AccountSettings,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._hasher = hasher
        self._issuer = issuer
        self._grants = grants
        self._settings = settings
        self._clock = clock

    async def register(
        self, *, email: str, password: str, display_name: str, user_agent: str
    ) -> tuple[Account, TokenPair]:
        """Makes an account with its first session, and asks for its first grant."""
        user_id = UUID(uuid7(self._clock.now_micros()))
        email = clean_email(email)
        password = clean_new_password(password, known_words=(email, email.partition("@")[0]))
        display_name = clean_display_name(display_name) if display_name else neutral_display_name(user_id)
        grant = DueGrant(user_id, self._settings.signup_grant_micros)
        user = NewUser(
            user_id=user_id,
            email=email,
            display_name=display_name,
            role="user",
            # Hashed before the e-mail is looked at: a taken one takes as long as a free one.
            password_hash=await self._hasher.hash(password),
            grant_micros=grant.amount_micros,
            grant_after_seconds=self._settings.grant_wait_seconds + 1,
        )
        async with transaction(self._pool) as connection:
            account = await users.insert(connection, user)
            if account is None:
                raise ApiError(ErrorCode.EMAIL_TAKEN, "There is an account with this e-mail address: log in.")
            await record(
                connection,
                AuditEntry(
                    user_id, "user.registered", str(user_id), "registered", after={"role": account.role}
                ),
            )
            session = await self._open(connection, account, user_agent)
        if not account.is_granted:
            is_paid = await self._grants.pay_now(grant, timeout_seconds=self._settings.grant_wait_seconds)
            account = replace(account, is_granted=is_paid)
        return account, self._pair(session)

    async def log_in(self, *, email: str, password: str, user_agent: str) -> tuple[Account, TokenPair]:
        """Opens a session for whoever knows the password."""
        email, password = clean_email(email), clean_offered_password(password)
        async with borrowed(self._pool) as connection:
            credentials = await users.find_credentials(connection, email)
        verdict = await self._hasher.verify(credentials.password_hash if credentials else None, password)
        if credentials is None or not verdict.is_right:
            metrics.LOG_INS.labels("refused").inc()
            raise _invalid_credentials()
        async with transaction(self._pool) as connection:
            account = await users.lock_verified(connection, credentials)
            if account is None:  # the password was changed while it was being verified
                raise _invalid_credentials()
            if account.is_suspended:
                raise _suspended()
            if verdict.new_hash is not None:
                await users.set_password_hash(connection, account.user_id, verdict.new_hash)
            session = await self._open(connection, account, user_agent)
        metrics.LOG_INS.labels("opened").inc()
        return account, self._pair(session)

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Exchanges a refresh token for the next pair of its session."""
        token_hash = refresh_token_hash(refresh_token)
        async with transaction(self._pool) as connection:
            # A refusal is not raised in here: what it changed (a family ended by reuse) is to be committed.
            outcome = await sessions.rotate(connection, token_hash, self._settings.lifetimes)
        metrics.REFRESHES.labels(outcome.name if isinstance(outcome, RotationRefusal) else "ROTATED").inc()
        if outcome is RotationRefusal.REUSED:
            log.warning("a refresh token was used twice; its session is over")
        if outcome is RotationRefusal.SUSPENDED:
            raise _suspended()
        if isinstance(outcome, RotationRefusal):
            raise ApiError(
                ErrorCode.REFRESH_TOKEN_INVALID, "This refresh token is no longer valid: log in again."
            )
        return self._pair(outcome)

    async def log_out(self, *, refresh_token: str, session_id: UUID | None) -> None:
        """Ends the session of the refresh token, else the given one."""
        async with transaction(self._pool) as connection:
            if refresh_token:
                session_id = await sessions.session_of(connection, refresh_token_hash(refresh_token))
            if session_id is not None:
                await sessions.end_session(connection, session_id, reason="LOGGED_OUT", why="logged out")

    async def me(self, user_id: UUID) -> Account:
        """The account of a verified token."""
        async with borrowed(self._pool) as connection:
            account = await users.find(connection, user_id)
        if account is None:
            raise ApiError(ErrorCode.UNAUTHENTICATED, "The account of this token does not exist.")
        return account

    async def rename_me(self, user_id: UUID, display_name: str) -> Account:
        """Changes the display name."""
        display_name = clean_display_name(display_name)
        async with borrowed(self._pool) as connection:
            account = await users.set_display_name(connection, user_id, display_name)
        if account is None:
            await self.me(user_id)
            raise _suspended()
        return account

    async def _open(self, connection: Connection, account: Account, user_agent: str) -> LiveSession:
        return await sessions.open_session(
            connection, account.user_id, account.role, clean_user_agent(user_agent), self._settings.lifetimes
        )

    def _pair(self, session: LiveSession) -> TokenPair:
        access_token, expires_at_seconds = self._issuer.issue(
            user_id=session.user_id,
            role=session.role,
            session_id=session.session_id,
            issued_at_seconds=self._clock.now_micros() // MICROS_PER_SECOND,
        )
        return TokenPair(
            access_token=access_token,
            access_expires_at=expires_at_seconds * MICROS_PER_SECOND,
            refresh_token=session.refresh_token,
            refresh_expires_at=session.refresh_expires_at,
            session_id=session.session_id,
        )


def _invalid_credentials() -> ApiError:
    """One text for an unknown e-mail and for a wrong password."""
    return ApiError(ErrorCode.INVALID_CREDENTIALS, "E-mail address or password is wrong.")


def _suspended() -> ApiError:
    return ApiError(ErrorCode.ACCOUNT_SUSPENDED, "This account is suspended.")
