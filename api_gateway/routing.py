"""The words of a route: who may call it, what its handler is given, what it gives back, and what the documents say."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from api_gateway import strict_json
from api_gateway.browsers import Visit
from api_gateway.checks import parsed, parsed_query
from api_gateway.clients import Clients
from runtime.errors import ApiError, ErrorCode
from runtime.ids import is_canonical_uuid
from runtime.tokens import READ, TRADE, Identity

Body = TypeVar("Body", bound=BaseModel)
TRADERS = ("user", "admin")


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


class Scope(Enum):
    """What the credential must be good for, on routes that need one."""

    READ = "read"
    """Access tokens, and API keys with the scope read."""
    TRADE = "trade"
    """Access tokens, and API keys with the scope trade, of those whose role may trade."""
    PERSON = "person"
    """Access tokens only: accounts and markets are managed by people who logged in."""

    def check(self, identity: Identity) -> None:
        """Raises FORBIDDEN."""
        if self is Scope.PERSON:
            identity.require_person()
        elif self is Scope.TRADE:
            identity.require(*TRADERS)
            identity.require_scope(TRADE)
        else:
            identity.require_scope(READ)


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


class Repeats(Enum):
    """What sending a request again does."""

    NOTHING = "Changes nothing."
    ONCE = (
        "With an `Idempotency-Key` it has one effect, however often it is sent within 24 hours: the same body again "
        "gets the first answer with `Idempotency-Replayed: true`, another body under the same key is refused."
    )
    AGAIN = (
        "Sending it again does no harm: all that is made is a secret, stored nowhere in clear, so the answer is made "
        "anew. An `Idempotency-Key` is accepted and not needed."
    )


@dataclass(slots=True)
class Call:
    """One request. `authorization` goes on to the services as it came."""

    clients: Clients
    route: "Route"
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    idempotency_key: str
    user_agent: str
    authorization: str | None
    identity: Identity | None
    client_address: str
    """IP address of the client, in its usual spelling."""
    visit: Visit
    """What a browser's session needs."""
    _document: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """The body as a JSON object, read once. Raises MALFORMED_REQUEST."""
        if self._document is None:
            self._document = strict_json.parse_object(self.body)
        return self._document

    def parsed(self, model: type[Body]) -> Body:
        """The body as this model, the one its route declares. Raises ApiError naming each bad field."""
        assert model is self.route.body, "the documents name another model"
        return parsed(model, self.document())

    def parsed_query(self, model: type[Body]) -> Body:
        """The query as this model, the one its route declares; what it does not know is refused."""
        assert model is self.route.query, "the documents name another model"
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
        return self.identity is not None and self.identity.role == "admin" and not self.identity.is_api_key


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` None: no content. Bytes go out as they are, as `content_type`; anything else as JSON."""

    body: Any
    status: int = 200
    replayed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    max_age_seconds: int = 0
    """How long caches may give it to others without asking, where the route is public."""


Handler = Callable[[Call], Awaitable[Answer]]


def one(_call: Call) -> int:
    """What most requests cost."""
    return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path, with its documentation. Whatever is checked, counted or printed comes from here."""

    method: str
    path: str
    """With `{id}` where an id stands."""
    handler: Handler
    access: Access
    area: str
    """The heading it stands under in the documents."""
    summary: str
    bucket: Bucket = Bucket.PUBLIC
    scope: Scope | None = None
    """Of USER and ADMIN routes; the others look at no scope."""
    cost: Callable[[Call], int] = one
    """How often the request counts against its bucket; at least 1. May raise ApiError for a body that is no JSON."""
    repeats: Repeats = Repeats.NOTHING
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answers: Mapping[int, type[BaseModel] | str | None] = field(default_factory=dict)
    """Of success, by status: a model of the JSON, a media type of anything else, None for no content."""
    errors: tuple[ErrorCode, ...] = ()
    """Its own; those that every route may answer are added by `api_gateway.openapi`."""
    description: str = ""
    example: Mapping[str, Any] | None = None
    """A body that works as printed once its placeholders, such as `<market_id>`, are put in."""

    def __post_init__(self) -> None:
        assert (self.scope is not None) == (self.access in (Access.USER, Access.ADMIN)), self.path
        assert self.access is not Access.ADMIN or self.scope is Scope.PERSON, self.path

    @property
    def writes(self) -> bool:
        return self.repeats is not Repeats.NOTHING


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
