"""What a process asks auth_service: who an API key is, and which tokens are over before their time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from runtime.identity import NEVER_SECONDS, READ, TRADE, Identity

DEADLINE_SECONDS: Final = 2.0
MICROS_PER_SECOND: Final = 1_000_000

API_KEY_ROLES: Final = {
    auth_pb2.ROLE_USER: "user",
    auth_pb2.ROLE_ANALYST: "analyst",
    auth_pb2.ROLE_ADMIN: "admin",
}
SCOPES: Final = {auth_pb2.API_KEY_SCOPE_READ: READ, auth_pb2.API_KEY_SCOPE_TRADE: TRADE}


class Subject(Enum):
    """What a change is about."""

    USER = auto()
    SESSION = auto()
    API_KEY = auto()


@dataclass(frozen=True, slots=True)
class TokenChange:
    """Credentials that are over; of a user: those below `minimum_version`. May be forgotten at `matters_until`
    (microseconds since the Unix epoch), when every token it is about has expired by itself."""

    subject: Subject
    subject_id: str
    minimum_version: int
    matters_until: int


@dataclass(frozen=True, slots=True)
class TokenChanges:
    """A part of the feed, and where it goes on; `is_more`: at once."""

    changes: Sequence[TokenChange]
    next_cursor: str
    is_more: bool


class Authority(Protocol):
    """Whoever knows. Both raise ApiError; UNAUTHENTICATED: no such key; any other: nobody can tell just now."""

    async def api_key(self, api_key: str) -> Identity: ...

    async def token_changes(self, cursor: str) -> TokenChanges: ...


class AuthService:
    """auth_service, over gRPC."""

    def __init__(self, target: str) -> None:
        self._channel = open_channel(target)
        self._stub = auth_pb2_grpc.CredentialServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def api_key(self, api_key: str) -> Identity:
        request = auth_pb2.CheckApiKeyRequest(api_key=api_key)
        answer: auth_pb2.CheckApiKeyResponse = await call(
            self._stub.CheckApiKey, request, deadline_seconds=DEADLINE_SECONDS
        )
        if answer.role not in API_KEY_ROLES:  # a role newer than this process
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return Identity(
            user_id=answer.user_id,
            role=API_KEY_ROLES[answer.role],
            session_id="",
            token_id=answer.api_key_id,
            expires_at_seconds=answer.expires_at // MICROS_PER_SECOND or NEVER_SECONDS,
            scopes=frozenset(SCOPES[scope] for scope in answer.scopes if scope in SCOPES),
            tier=answer.tier,
            api_key_id=answer.api_key_id,
            version=answer.access_version,
        )

    async def token_changes(self, cursor: str) -> TokenChanges:
        request = auth_pb2.ListTokenChangesRequest(cursor=cursor)
        answer: auth_pb2.ListTokenChangesResponse = await call(
            self._stub.ListTokenChanges, request, deadline_seconds=DEADLINE_SECONDS
        )
        changes = [change for message in answer.changes if (change := _change(message)) is not None]
        return TokenChanges(changes, answer.next_cursor, answer.more)


def _change(message: auth_pb2.TokenChange) -> TokenChange | None:
    """None: of a kind newer than this process."""
    which = message.WhichOneof("subject")
    subject = {"user_id": Subject.USER, "session_id": Subject.SESSION, "api_key_id": Subject.API_KEY}.get(
        which
    )
    if subject is None:
        return None
    return TokenChange(subject, getattr(message, which), message.minimum_version, message.matters_until)
