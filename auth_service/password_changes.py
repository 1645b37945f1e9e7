"""Another password: by whoever knows the current one, or by a token mailed to the account's address."""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

import asyncpg

from auth_service import metrics, sessions, users
from auth_service.audit import AuditEntry, record
from auth_service.database import Connection, Pool, borrowed, transaction
from auth_service.hashing import BoundedHasher
from auth_service.identity import BadField, clean_email
from auth_service.mail import Mail, MailQueue
from auth_service.passwords import clean_new_password, clean_offered_password
from auth_service.refusals import invalid_credentials
from auth_service.sessions import Ending
from auth_service.tokens import RESET_TOKEN
from auth_service.writes import Intent, Replay, Secret, Writes
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity
from runtime.logs import get_logger

log = get_logger(__name__)

RESET_MINUTES: Final = 30
RESETS_PER_HOUR_MAX: Final = 3
FORGOTTEN_MAX: Final = 1_000
"""Addresses that wait to be looked up; one more is refused with OVERLOADED, whosever it is."""

AWAY_WAIT_SECONDS: Final = 1.0
POSTGRES_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

CHANGED_SUBJECT: Final = "Your password was changed"
CHANGED_TEXT: Final = (
    "The password of your account was changed, and sessions on other devices were ended.\n"
    "If that was not you, reset it: ask for a new password where you log in.\n"
)


class PasswordChanges:
    """Both ways. Whichever it is, the other sessions end."""

    def __init__(
        self, *, pool: Pool, hasher: BoundedHasher, writes: Writes, mails: MailQueue, reset_url: str
    ) -> None:
        self._pool = pool
        self._hasher = hasher
        self._writes = writes
        self._mails = mails
        self._reset_url = reset_url
        self._forgotten: asyncio.Queue[str] = asyncio.Queue(FORGOTTEN_MAX)

    async def change(self, caller: Identity, *, current: str, new: str, intent: Intent) -> int | Replay:
        """How many other sessions it ended. Raises INVALID_CREDENTIALS, BadField, HashingQueueFull."""
        user_id = UUID(caller.user_id)
        current = _named("current_password", clean_offered_password, current)
        async with borrowed(self._pool) as connection:
            account = await users.find(connection, user_id)
            credentials = await users.credentials_of(connection, user_id)
        if account is None or credentials is None:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        is_right = (await self._hasher.verify(credentials.password_hash, current)).is_right
        if not is_right and not intent.key:
            raise invalid_credentials()
        secret = await self._new_secret(new, account.email)

        async def work(connection: Connection) -> int:
            # Not before the key: the same request again comes with a password that is no longer the current one.
            await users.lock_caller(connection, caller)
            if not is_right or await users.lock_verified(connection, credentials) is None:
                raise invalid_credentials()
            ending = Ending(user_id, "PASSWORD_CHANGED", "the password was changed")
            return await self._set(connection, user_id, secret, ending, but=UUID(caller.session_id))

        ended = await self._writes.once(_with(intent, secret), work, store=_count)
        if not isinstance(ended, Replay):
            self._mails.offer(Mail(account.email, CHANGED_SUBJECT, CHANGED_TEXT))
        return ended

    def forget(self, email: str) -> None:
        """Takes the address and does nothing else yet, so that nobody learns whose it is. Raises BadField,
        OVERLOADED."""
        try:
            self._forgotten.put_nowait(clean_email(email))
        except asyncio.QueueFull:
            raise ApiError(
                ErrorCode.OVERLOADED, "Too many mails wait: try again shortly.", retry_after_ms=5_000
            ) from None

    async def reset(self, token: str, *, new: str, intent: Intent) -> int | Replay:
        """How many sessions it ended. Raises RESET_TOKEN_INVALID, BadField, HashingQueueFull."""
        token_hash = RESET_TOKEN.hash(token)
        async with borrowed(self._pool) as connection:
            email = await _email_of(connection, token_hash)
        if email is None:
            raise ApiError(ErrorCode.RESET_TOKEN_INVALID)
        secret = await self._new_secret(new, email)

        async def work(connection: Connection) -> int:
            user_id = await _spend(connection, token_hash)
            if user_id is None:
                raise ApiError(ErrorCode.RESET_TOKEN_INVALID)
            ending = Ending(user_id, "PASSWORD_RESET", "the password was reset by a mailed token")
            return await self._set(connection, user_id, secret, ending)

        ended = await self._writes.once(_with(intent, secret), work, store=_count)
        if not isinstance(ended, Replay):
            self._mails.offer(Mail(email, CHANGED_SUBJECT, CHANGED_TEXT))
        return ended

    async def run(self) -> None:
        """Mails tokens to whoever forgot a password, for ever; ends by being cancelled."""
        while True:
            email = await self._forgotten.get()
            try:
                mail = await self._reset_mail(email)
            except POSTGRES_AWAY as error:
                log.warning("a forgotten password waits for Postgres", reason=type(error).__name__)
                await asyncio.sleep(AWAY_WAIT_SECONDS)
                if not self._forgotten.full():
                    self._forgotten.put_nowait(email)
                continue
            if mail is not None:
                await self._mails.put(mail)

    async def _new_secret(self, new: str, email: str) -> Secret:
        known_words = (email, email.partition("@")[0])
        password = _named("new_password", lambda text: clean_new_password(text, known_words=known_words), new)
        return Secret(password, await self._hasher.hash(password))

    async def _set(
        self,
        connection: Connection,
        user_id: UUID,
        secret: Secret,
        ending: Ending,
        *,
        but: UUID | None = None,
    ) -> int:
        await users.set_password(connection, user_id, secret.hash)
        await connection.execute(
            "UPDATE password_resets SET used_at = now() WHERE user_id = $1 AND used_at IS NULL", user_id
        )
        ended = await sessions.end_all(connection, user_id, ending, but=but)
        entry = AuditEntry(
            user_id, "password.changed", str(user_id), ending.why, after={"sessions_ended": ended}
        )
        await record(connection, entry)
        metrics.PASSWORDS_CHANGED.labels(ending.reason).inc()
        return ended

    async def _reset_mail(self, email: str) -> Mail | None:
        """None: nobody, or enough for this hour."""
        token = RESET_TOKEN.new()
        async with transaction(self._pool) as connection:
            account = await users.find_by_email(connection, email)
            if account is None or account.is_suspended:
                return None
            await users.lock(connection, account.user_id)
            recent = await connection.fetchval(
                "SELECT count(*) FROM password_resets WHERE user_id = $1 AND created_at > now() - interval '1 hour'",
                account.user_id,
            )
            if recent >= RESETS_PER_HOUR_MAX:
                return None
            await connection.execute(
                """
                INSERT INTO password_resets (token_hash, user_id, expires_at)
                VALUES ($1, $2, now() + make_interval(mins => $3))
                """,
                RESET_TOKEN.hash(token),
                account.user_id,
                RESET_MINUTES,
            )
            entry = AuditEntry(
                account.user_id, "password_reset.mailed", str(account.user_id), "a forgotten password"
            )
            await record(connection, entry)
        return Mail(account.email, "Reset your password", self._reset_text(token))

    def _reset_text(self, token: str) -> str:
        # In the fragment, which browsers send to no server and write into no log.
        way = f"Open {self._reset_url}#token={token}" if self._reset_url else f"Your token: {token}"
        return (
            f"Somebody, probably you, asked for a new password.\n\n{way}\n\n"
            f"It works once, within {RESET_MINUTES} minutes. If it was not you, do nothing.\n"
        )


def _with(intent: Intent, secret: Secret) -> Intent:
    return Intent(intent.owner_id, intent.key, intent.operation, intent.request_hash, secret)


def _count(ended: int) -> bytes:
    return str(ended).encode()


def _named(field: str, clean: Callable[[str], str], text: str) -> str:
    """A bad password under the name its field has here."""
    try:
        return clean(text)
    except BadField as bad:
        raise BadField(field, bad.message) from None


async def _email_of(connection: Connection, token_hash: bytes) -> str | None:
    email: str | None = await connection.fetchval(
        "SELECT email FROM password_resets JOIN users USING (user_id) WHERE token_hash = $1", token_hash
    )
    return email


async def _spend(connection: Connection, token_hash: bytes) -> UUID | None:
    """Whose password it sets; None when it is no longer good for anything. Locks the account first, like
    everybody."""
    user_id: UUID | None = await connection.fetchval(
        "SELECT user_id FROM password_resets WHERE token_hash = $1", token_hash
    )
    account = await users.lock(connection, user_id) if user_id else None
    if account is None or account.is_suspended:
        return None
    spent: UUID | None = await connection.fetchval(
        """
        UPDATE password_resets SET used_at = now()
        WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now() RETURNING user_id
        """,
        token_hash,
    )
    return spent
