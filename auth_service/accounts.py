"""What people do with their accounts: register, log in, refresh, log out, look at and rename themselves.

Refusals leave as runtime.errors.ApiError or as BadField. Hashing happens before a transaction begins, never
inside one.
"""

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from auth_service import metrics, refresh_tokens, sessions, users
from auth_service.audit import AuditEntry, record
from auth_service.database import Connection, Pool, borrowed, transaction
from auth_service.grants import DueGrant, FirstGrants
from auth_service.hashing import BoundedHasher
from auth_service.identity import clean_display_name, clean_email, neutral_display_name
from auth_service.pairs import Pairs, TokenPair
from auth_service.passwords import clean_new_password, clean_offered_password
from auth_service.refresh_tokens import RotationRefusal
from auth_service.refusals import invalid_credentials, suspended
from auth_service.refused_tokens import RefusedTokens
from auth_service.tokens import REFRESH_TOKEN
from auth_service.users import Account, NewUser
from auth_service.writes import Intent, Replay, Secret, Writes
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity
from runtime.ids import uuid7
from runtime.logs import get_logger

log = get_logger(__name__)

REFUSED_FOR_GOOD: Final = (RotationRefusal.EXPIRED, RotationRefusal.SESSION_OVER, RotationRefusal.REUSED)


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What a new account gets."""

    signup_grant_micros: int
    grant_wait_seconds: float


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody registers with, cleaned."""

    email: str
    password: str
    display_name: str
    user_agent: str

    @classmethod
    def cleaned(cls, *, email: str, password: str, display_name: str, user_agent: str) -> "Registration":
        """Raises BadField. `display_name` may be empty."""
        email = clean_email(email)
        password = clean_new_password(password, known_words=(email, email.partition("@")[0]))
        return cls(email, password, clean_display_name(display_name) if display_name else "", user_agent)


@dataclass(frozen=True, slots=True)
class Registered:
    """The account and a session; `is_replayed`: the account is an earlier call's, the session is new."""

    account: Account
    pair: TokenPair
    is_replayed: bool = False


class Accounts:
    """The use cases behind AuthService, free of gRPC."""

    def __init__(
        self,
        *,
        pool: Pool,
        hasher: BoundedHasher,
        pairs: Pairs,
        grants: FirstGrants,
        writes: Writes,
        refused: RefusedTokens,
        settings: AccountSettings,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._hasher = hasher
        self._pairs = pairs
        self._grants = grants
        self._writes = writes
        self._refused = refused
        self._settings = settings
        self._clock = clock

    async def register(self, asked: Registration, intent: Intent) -> Registered:
        """Makes an account with its first session, and asks for its first grant."""
        # Hashed before the e-mail is looked at: a taken one takes as long as a free one.
        password_hash = await self._hasher.hash(asked.password)
        intent = replace(intent, secret=Secret(asked.password, password_hash))
        user = self._new_user(asked, password_hash)

        async def make(connection: Connection) -> Registered:
            return await self._make(connection, user, asked.user_agent)

        made = await self._writes.once(intent, make, store=lambda made: made.account.user_id.bytes)
        if isinstance(made, Replay):
            return await self._registered_before(UUID(bytes=made.answer), asked.user_agent)
        if made.account.is_granted:
            return made
        grant = DueGrant(user.user_id, user.grant_micros)
        is_paid = await self._grants.pay_now(grant, timeout_seconds=self._settings.grant_wait_seconds)
        return replace(made, account=replace(made.account, is_granted=is_paid))

    async def log_in(self, *, email: str, password: str, user_agent: str) -> tuple[Account, TokenPair]:
        """Opens a session for whoever knows the password."""
        email, password = clean_email(email), clean_offered_password(password)
        self._hasher.check_room()  # a flood is refused before it costs a query
        async with borrowed(self._pool) as connection:
            credentials = await users.find_credentials(connection, email)
        verdict = await self._hasher.verify(credentials.password_hash if credentials else None, password)
        if credentials is None or not verdict.is_right:
            metrics.LOG_INS.labels("refused").inc()
            raise invalid_credentials()
        async with transaction(self._pool) as connection:
            account = await users.lock_verified(connection, credentials)
            if account is None:  # the password was changed while it was being verified
                raise invalid_credentials()
            if account.is_suspended:
                raise suspended()
            if verdict.new_hash is not None:
                await users.set_password_hash(connection, account.user_id, verdict.new_hash)
            pair = await self._pairs.open(connection, account, user_agent, why="logged in")
        metrics.LOG_INS.labels("opened").inc()
        return account, pair

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Exchanges a refresh token for the next pair of its session."""
        token_hash = REFRESH_TOKEN.hash(refresh_token)
        if await self._refused.knows(token_hash):
            metrics.REFRESHES.labels("REFUSED_BEFORE").inc()
            raise _refresh_token_invalid()
        async with transaction(self._pool) as connection:
            # A refusal is not raised in here: what it changed (a family ended by reuse) is to be committed.
            outcome = await refresh_tokens.rotate(connection, token_hash, self._pairs.lifetimes)
        if not isinstance(outcome, RotationRefusal):
            metrics.REFRESHES.labels("ROTATED").inc()
            return self._pairs.of(outcome)
        metrics.REFRESHES.labels(outcome.name).inc()
        if outcome is RotationRefusal.REUSED:
            log.warning("a refresh token was used twice; its session is over")
        if outcome in REFUSED_FOR_GOOD:
            await self._refused.add(token_hash)
        raise suspended() if outcome is RotationRefusal.SUSPENDED else _refresh_token_invalid()

    async def log_out(self, *, refresh_token: str, session_id: UUID | None) -> None:
        """Ends the session of the refresh token, else the given one."""
        async with transaction(self._pool) as connection:
            if refresh_token:
                token_hash = REFRESH_TOKEN.hash(refresh_token)
                session_id = await refresh_tokens.session_of(connection, token_hash)
            if session_id is not None:
                await sessions.end(connection, session_id, reason="LOGGED_OUT", why="logged out")

    async def me(self, user_id: UUID) -> Account:
        """The account of a verified credential."""
        async with borrowed(self._pool) as connection:
            account = await users.find(connection, user_id)
        if account is None:
            raise ApiError(ErrorCode.UNAUTHENTICATED, "The account of this token does not exist.")
        return account

    async def rename(self, connection: Connection, caller: Identity, display_name: str) -> Account:
        """Changes the caller's display name."""
        display_name = clean_display_name(display_name)
        await users.lock_caller(connection, caller)
        return await users.set_display_name(connection, UUID(caller.user_id), display_name)

    def _new_user(self, asked: Registration, password_hash: str) -> NewUser:
        user_id = UUID(uuid7(self._clock.now_micros()))
        return NewUser(
            user_id=user_id,
            email=asked.email,
            display_name=asked.display_name or neutral_display_name(user_id),
            role="user",
            password_hash=password_hash,
            grant_micros=self._settings.signup_grant_micros,
            grant_after_seconds=self._settings.grant_wait_seconds + 1,
        )

    async def _make(self, connection: Connection, user: NewUser, user_agent: str) -> Registered:
        account = await users.insert(connection, user)
        if account is None:
            raise ApiError(ErrorCode.EMAIL_TAKEN, "There is an account with this e-mail address: log in.")
        entry = AuditEntry(
            user.user_id, "user.registered", str(user.user_id), "registered", after={"role": account.role}
        )
        await record(connection, entry)
        return Registered(account, await self._pairs.open(connection, account, user_agent, why="registered"))

    async def _registered_before(self, user_id: UUID, user_agent: str) -> Registered:
        """The first session's tokens are stored nowhere: whoever knows key and password gets another session."""
        async with transaction(self._pool) as connection:
            account = await users.lock(connection, user_id)
            assert account is not None, "accounts are never deleted"
            if account.is_suspended:
                raise suspended()
            pair = await self._pairs.open(connection, account, user_agent, why="registered, asked again")
        return Registered(account, pair, is_replayed=True)


def _refresh_token_invalid() -> ApiError:
    return ApiError(ErrorCode.REFRESH_TOKEN_INVALID, "This refresh token is no longer valid: log in again.")
