"""The words of a route: who may call it, what its handler is given, what it gives back."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from api_gateway import strict_json
from api_gateway.checks import parsed, parsed_query
from api_gateway.clients import Clients
from runtime.errors import ApiError, ErrorCode
from runtime.ids import is_canonical_uuid
from runtime.tokens import Identity

Body = TypeVar("Body", bound=BaseModel)


class Access(Enum):
    """Who may call."""

    PUBLIC = "PUBLIC"
    """Anybody; a token is looked at when there is one. The answer may be cached."""
    OPEN = "OPEN"
    """Anybody; the answer is for the caller alone."""
    USER = "USER"
    """Whoever is logged in."""
    ADMIN = "ADMIN"
    """Role admin."""


class Bucket(Enum):
    """Which rate limit a route counts against."""

    PUBLIC = "public"
    """What anybody may read, and accounts."""
    TRADES = "trades"
    """Whatever places or changes orders; a batch counts its items."""
    CANCELS = "cancels"
    """Cancels, so that placing never starves them."""
    ADMIN = "admin"
    NONE = "none"
    """Never limited: what tells whether we live."""


@dataclass(slots=True)
class Call:
    """One request. `authorization` goes on to the services as it came."""

    clients: Clients
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    idempotency_key: str
    user_agent: str
    authorization: str | None
    identity: Identity | None
    client_address: str
    """IP address of the client, in its usual spelling."""
    _document: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """The body as a JSON object, read once. Raises MALFORMED_REQUEST."""
        if self._document is None:
            self._document = strict_json.parse_object(self.body)
        return self._document

    def parsed(self, model: type[Body]) -> Body:
        """The body as this model. Raises ApiError naming each bad field."""
        return parsed(model, self.document())

    def parsed_query(self, model: type[Body]) -> Body:
        """The query as this model; what it does not know is refused."""
        return parsed_query(model, self.query)

    def id(self, missing: ErrorCode = ErrorCode.NOT_FOUND, name: str = "id") -> str:
        """A canonical UUID of the path; any other text names nothing."""
        value = self.parameters[name]
        if not is_canonical_uuid(value):
            raise ApiError(missing)
        return value

    @property
    def user_id(self) -> str:
        """Of a route that needs a login."""
        assert self.identity is not None
        return self.identity.user_id

    @property
    def is_admin(self) -> bool:
        return self.identity is not None and self.identity.role == "admin"


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` None: no content."""

    body: Any
    status: int = 200
    replayed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Answer]]


def one(_call: Call) -> int:
    """What most requests cost."""
    return 1


@dataclass(frozen=True, slots=True)
class Route:
    """`path` in aiohttp's notation."""

    method: str
    path: str
    handler: Handler
    access: Access
    bucket: Bucket
    cost: Callable[[Call], int] = one
    """How often the request counts against its bucket; at least 1. May raise ApiError for a body that is no JSON."""


class Refused(ApiError):
    """A no whose answer carries headers of its own, such as those of a rate limit."""

    def __init__(self, code: ErrorCode, headers: Mapping[str, str], **details: str | int) -> None:
        super().__init__(code, "", fields=(), **details)
        self.headers = headers


class Limits(Protocol):
    """Asked before each handler, once the caller is known and the body is read."""

    async def admit(self, call: Call, route: Route) -> Mapping[str, str]:
        """Headers to add to the answer. Raises RATE_LIMITED (`retry_after_ms` says when it is worth coming back), or
        UNAVAILABLE where a request that cannot be counted must not go on."""
        ...


class NoLimits:
    """Admits everything."""

    async def admit(self, call: Call, route: Route) -> Mapping[str, str]:
        """No headers."""
        return {}
