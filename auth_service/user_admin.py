"""What administrators do with accounts of others. Each change is one transaction with its audit row.

Changes of access are made one after another (an advisory lock), so that two administrators who demote each other at
once do not leave none.
"""

import base64
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from auth_service import order_cancellations, sessions, token_changes, users
from auth_service.audit import AuditEntry, record
from auth_service.database import Connection, Pool, borrowed
from auth_service.identity import BadField, clean_label
from auth_service.sessions import Ending
from auth_service.tokens import Role
from auth_service.users import Account
from runtime.clock import to_datetime
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity

PAGE_MAX: Final = 200
PAGE_DEFAULT: Final = 50
SEARCH_MAX_CHARACTERS: Final = 100
REASON_MAX_CHARACTERS: Final = 500
TRADING_ROLES: Final = ("user", "admin")

_ACCESS_LOCK = 0x6163_6365_7373_6573
"""Advisory lock ("accesses")."""

_PAGE_TOKEN = re.compile(r"(\d{1,18})\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Search:
    """Which accounts; empty or None: whichever. `page_size` 0: the default."""

    q: str = ""
    role: Role | None = None
    is_suspended: bool | None = None
    page_size: int = 0
    page_token: str = ""


class UserAdmin:
    """The use cases behind UserAdminService, free of gRPC."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list(self, search: Search) -> tuple[list[Account], str]:
        """A page, newest first, and the token of the next; empty: none. Raises BadField."""
        if len(search.q) > SEARCH_MAX_CHARACTERS or "\0" in search.q:
            raise BadField("q", f"A search has at most {SEARCH_MAX_CHARACTERS} characters.")
        if not 0 <= search.page_size <= PAGE_MAX:
            raise BadField("page_size", f"A page has 1 to {PAGE_MAX} accounts.")
        size = search.page_size or PAGE_DEFAULT
        before = _place(search.page_token) if search.page_token else None
        async with borrowed(self._pool) as connection:
            found = await users.search(
                connection,
                q=search.q,
                role=search.role,
                is_suspended=search.is_suspended,
                before=before,
                most=size + 1,
            )
        is_more = len(found) > size
        return found[:size], _page_token(found[size - 1]) if is_more else ""

    async def get(self, user_id: UUID) -> Account:
        """Raises USER_NOT_FOUND."""
        async with borrowed(self._pool) as connection:
            account = await users.find(connection, user_id)
        if account is None:
            raise ApiError(ErrorCode.USER_NOT_FOUND)
        return account

    async def set_role(
        self, connection: Connection, caller: Identity, user_id: UUID, role: Role, reason: str
    ) -> Account:
        """Another role; the same one again changes nothing."""
        reason = clean_label("reason", reason, REASON_MAX_CHARACTERS)
        account = await _lock_for_change(connection, caller, user_id, takes_admin=role != "admin")
        if account.role == role:
            return account
        changed = await users.set_access(connection, user_id, role=role)
        await token_changes.note_user(connection, user_id, minimum_version=changed.access_version)
        if role not in TRADING_ROLES:
            await order_cancellations.request(connection, changed)
        elif not changed.is_suspended:
            await order_cancellations.withdraw(connection, user_id)
        await record(
            connection,
            AuditEntry(
                UUID(caller.user_id),
                "user.role_changed",
                str(user_id),
                reason,
                before={"role": account.role},
                after={"role": role},
            ),
        )
        return changed

    async def suspend(self, connection: Connection, caller: Identity, user_id: UUID, reason: str) -> Account:
        """Out at once: sessions, tokens, API keys, and open orders as soon as order_service can."""
        reason = clean_label("reason", reason, REASON_MAX_CHARACTERS)
        account = await _lock_for_change(connection, caller, user_id, takes_admin=True)
        if account.is_suspended:
            return account
        changed = await users.set_access(connection, user_id, is_suspended=True)
        await token_changes.note_user(connection, user_id, minimum_version=changed.access_version)
        ending = Ending(UUID(caller.user_id), "SUSPENDED", "the account was suspended")
        ended = await sessions.end_all(connection, user_id, ending)
        await order_cancellations.request(connection, changed)
        await _record_status(connection, caller, changed, reason, sessions_ended=ended)
        return changed

    async def restore(self, connection: Connection, caller: Identity, user_id: UUID, reason: str) -> Account:
        """In again; sessions are to be opened anew."""
        reason = clean_label("reason", reason, REASON_MAX_CHARACTERS)
        account = await _lock_for_change(connection, caller, user_id, takes_admin=False)
        if not account.is_suspended:
            return account
        changed = await users.set_access(connection, user_id, is_suspended=False)
        await token_changes.note_user(connection, user_id, minimum_version=changed.access_version)
        if changed.role in TRADING_ROLES:
            await order_cancellations.withdraw(connection, user_id)
        await _record_status(connection, caller, changed, reason, sessions_ended=0)
        return changed


async def _lock_for_change(
    connection: Connection, caller: Identity, user_id: UUID, *, takes_admin: bool
) -> Account:
    """The account, locked. Raises FORBIDDEN, USER_NOT_FOUND, LAST_ADMIN. `takes_admin`: who is one is none
    afterwards."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _ACCESS_LOCK)
    # By the row, not by the token: it may have been demoted a moment ago.
    if (await users.lock_caller(connection, caller)).role != "admin":
        raise ApiError(ErrorCode.FORBIDDEN)
    account = await users.lock(connection, user_id)
    if account is None:
        raise ApiError(ErrorCode.USER_NOT_FOUND)
    if account.role == "treasury":
        raise ApiError(ErrorCode.FORBIDDEN, "The treasury's account is not changed.")
    is_acting_admin = account.role == "admin" and not account.is_suspended
    if takes_admin and is_acting_admin and await users.count_admins(connection) == 1:
        raise ApiError(ErrorCode.LAST_ADMIN)
    if str(user_id) == caller.user_id:
        raise ApiError(ErrorCode.FORBIDDEN, "Nobody changes the access of their own account.")
    return account


async def _record_status(
    connection: Connection, caller: Identity, changed: Account, reason: str, *, sessions_ended: int
) -> None:
    before, after = ("active", "suspended") if changed.is_suspended else ("suspended", "active")
    await record(
        connection,
        AuditEntry(
            UUID(caller.user_id),
            "user.suspended" if changed.is_suspended else "user.restored",
            str(changed.user_id),
            reason,
            before={"status": before},
            after={"status": after, "sessions_ended": sessions_ended},
        ),
    )


def _page_token(last: Account) -> str:
    return base64.urlsafe_b64encode(f"{last.created_at}.{last.user_id.hex}".encode()).rstrip(b"=").decode()


def _place(page_token: str) -> users.Place:
    """Raises BadField for a token nobody gave out."""
    try:
        padded = page_token[:200] + "=" * (-len(page_token[:200]) % 4)
        parts = _PAGE_TOKEN.fullmatch(base64.urlsafe_b64decode(padded.encode("ascii")).decode("ascii"))
    except ValueError:
        parts = None
    if parts is None:
        raise BadField("page_token", "This is not a page token of this list.")
    try:
        return users.Place(to_datetime(int(parts[1])), UUID(hex=parts[2]))
    except (ValueError, OverflowError):
        raise BadField("page_token", "This is not a page token of this list.") from None
