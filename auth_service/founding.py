"""The accounts that nobody registers: the treasury, and the first administrator."""

from enum import Enum, auto
from uuid import UUID

from auth_service import users
from auth_service.audit import AuditEntry, record
from auth_service.database import Connection
from auth_service.hashing import BoundedHasher
from auth_service.identity import SYSTEM_ACTOR, TREASURY_ID, clean_email
from auth_service.passwords import clean_new_password
from auth_service.users import NewUser


class AdminOutcome(Enum):
    """What `create_admin` found or did."""

    CREATED = auto()
    IS_ADMIN_ALREADY = auto()
    """Nothing was changed, the password neither."""
    EMAIL_IS_SOMEBODY_ELSES = auto()
    """An account that is no admin's: whoever registered it must not become one by it."""


async def ensure_treasury(connection: Connection, *, grant_micros: int) -> None:
    """Makes the treasury's account at the very first start; its funding is then paid like any first grant."""
    await _insert(
        connection,
        NewUser(
            user_id=TREASURY_ID,
            email=None,
            display_name="Treasury",
            role="treasury",
            password_hash=None,
            grant_micros=grant_micros,
        ),
        reason="first start",
    )


async def create_admin(
    connection: Connection,
    hasher: BoundedHasher,
    *,
    user_id: UUID,
    email: str,
    password: str,
    grant_micros: int,
) -> AdminOutcome:
    """Makes an administrator unless there is one with this e-mail. Raises BadField. Doing it twice does it once."""
    email = clean_email(email)
    existing = await users.find_by_email(connection, email)
    if existing is None:
        password = clean_new_password(password, known_words=(email, email.partition("@")[0]))
        admin = NewUser(
            user_id=user_id,
            email=email,
            display_name="Administrator",
            role="admin",
            password_hash=await hasher.hash(password),
            grant_micros=grant_micros,
        )
        if await _insert(connection, admin, reason="create-admin"):
            return AdminOutcome.CREATED
        existing = await users.find_by_email(connection, email)  # made by somebody else meanwhile
    is_admin = existing is not None and existing.role == "admin"
    return AdminOutcome.IS_ADMIN_ALREADY if is_admin else AdminOutcome.EMAIL_IS_SOMEBODY_ELSES


async def _insert(connection: Connection, user: NewUser, *, reason: str) -> bool:
    async with connection.transaction():
        account = await users.insert(connection, user)
        if account is not None:
            entry = AuditEntry(
                SYSTEM_ACTOR, "user.created", str(user.user_id), reason, after={"role": user.role}
            )
            await record(connection, entry)
    return account is not None
