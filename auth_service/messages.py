"""From what the use cases know to messages, and back; refusals of the layers below in the words of the protocol."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from auth_service import metrics
from auth_service.api_keys import ApiKey, KeyOwner
from auth_service.hashing import HashingQueueFull
from auth_service.identity import BadField
from auth_service.pairs import TokenPair
from auth_service.sessions import OpenSession
from auth_service.tokens import Role
from auth_service.users import Account
from predmarket.auth.v1 import auth_pb2
from runtime.credentials import Subject, TokenChange
from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.identity import READ, TRADE
from runtime.ids import is_canonical_uuid

ROLES: Final[dict[Role, "auth_pb2.Role"]] = {
    "user": auth_pb2.ROLE_USER,
    "analyst": auth_pb2.ROLE_ANALYST,
    "admin": auth_pb2.ROLE_ADMIN,
    "treasury": auth_pb2.ROLE_TREASURY,
}
_ROLE_NAMES: Final[dict[int, Role]] = {number: name for name, number in ROLES.items()}
_SCOPES: Final = {READ: auth_pb2.API_KEY_SCOPE_READ, TRADE: auth_pb2.API_KEY_SCOPE_TRADE}
_SCOPE_NAMES: Final[dict[int, str]] = {number: name for name, number in _SCOPES.items()}


@contextmanager
def refusals() -> Iterator[None]:
    """What the layers below refuse in their own words, in the words of the protocol."""
    try:
        yield
    except BadField as bad:
        raise ApiError(
            ErrorCode.INVALID_ARGUMENT, bad.message, fields=[FieldError(f"/{bad.field}", bad.message)]
        ) from None
    except HashingQueueFull as full:
        metrics.HASHING_REFUSED.inc()
        raise ApiError(
            ErrorCode.OVERLOADED,
            "Too many passwords are being checked just now: try again shortly.",
            retry_after_ms=full.retry_after_ms,
        ) from None


def an_id(field: str, text: str) -> UUID:
    """Raises BadField."""
    if not is_canonical_uuid(text):
        raise BadField(field, "This is not a lower-case UUID.")
    return UUID(text)


def role_of(field: str, number: int) -> Role:
    """Raises BadField."""
    if number not in _ROLE_NAMES:
        raise BadField(field, "This is not a role.")
    return _ROLE_NAMES[number]


def scopes_of(numbers: Sequence[int]) -> list[str]:
    """Raises BadField."""
    if not all(number in _SCOPE_NAMES for number in numbers):
        raise BadField("scopes", "Name READ, TRADE or both, each once.")
    return [_SCOPE_NAMES[number] for number in numbers]


def user(account: Account) -> auth_pb2.User:
    suspended, active = auth_pb2.ACCOUNT_STATUS_SUSPENDED, auth_pb2.ACCOUNT_STATUS_ACTIVE
    return auth_pb2.User(
        user_id=str(account.user_id),
        email=account.email,
        display_name=account.display_name,
        role=ROLES[account.role],
        status=suspended if account.is_suspended else active,
        created_at=account.created_at,
        granted=account.is_granted,
    )


def tokens(pair: TokenPair) -> auth_pb2.Tokens:
    return auth_pb2.Tokens(
        access_token=pair.access_token,
        access_expires_at=pair.access_expires_at,
        refresh_token=pair.refresh_token,
        refresh_expires_at=pair.refresh_expires_at,
        session_id=str(pair.session_id),
    )


def session(each: OpenSession, *, current: str) -> auth_pb2.Session:
    return auth_pb2.Session(
        session_id=str(each.session_id),
        user_agent=each.user_agent,
        created_at=each.created_at,
        last_used_at=each.last_used_at,
        expires_at=each.expires_at,
        current=str(each.session_id) == current,
    )


def api_key(key: ApiKey) -> auth_pb2.ApiKey:
    return auth_pb2.ApiKey(
        api_key_id=str(key.api_key_id),
        name=key.name,
        scopes=[_SCOPES[scope] for scope in key.scopes],
        tier=key.tier,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )


def key_owner(owner: KeyOwner) -> auth_pb2.CheckApiKeyResponse:
    return auth_pb2.CheckApiKeyResponse(
        api_key_id=str(owner.api_key_id),
        user_id=str(owner.user_id),
        role=ROLES[owner.role],
        scopes=[_SCOPES[scope] for scope in owner.scopes],
        tier=owner.tier,
        expires_at=owner.expires_at,
        access_version=owner.access_version,
    )


def token_change(change: TokenChange) -> auth_pb2.TokenChange:
    field = {Subject.USER: "user_id", Subject.SESSION: "session_id", Subject.API_KEY: "api_key_id"}
    return auth_pb2.TokenChange(
        **{field[change.subject]: change.subject_id},
        minimum_version=change.minimum_version,
        matters_until=change.matters_until,
    )
