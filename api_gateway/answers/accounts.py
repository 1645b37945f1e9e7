"""Accounts, sessions, keys."""

from typing import Literal

from pydantic import Field

from api_gateway.answers.base import Count, Id, Shape, Time

Role = Literal["user", "analyst", "admin", "treasury"]


class User(Shape):
    """An account, as its owner and administrators see it."""

    user_id: Id
    email: str
    display_name: str
    role: Role
    status: Literal["ACTIVE", "SUSPENDED"]
    created_at: Time
    granted: bool = Field(description="Whether the first points have been paid.")


class Tokens(Shape):
    """What a session hands its owner. With cookies asked for, both tokens are null: they are in the cookies."""

    access_token: str | None
    token_type: Literal["Bearer"]
    access_expires_at: Time
    refresh_token: str | None
    refresh_expires_at: Time
    session_id: Id


class NewSession(Tokens):
    """A session that has just begun."""

    user: User
    csrf_token: str | None = Field(description="With cookies: to be repeated in `X-CSRF-Token`.")


class AuthorizationCode(Shape):
    """For the client that asked; good once."""

    code: str
    expires_at: Time
    redirect_uri: str


class SessionsEnded(Shape):
    """How many sessions it ended."""

    sessions_ended: Count


class JsonWebKey(Shape):
    """A public key (RFC 7517)."""

    kty: str
    crv: str
    x: str
    kid: str
    alg: str
    use: str


class JsonWebKeys(Shape):
    """All that access tokens are signed with."""

    keys: list[JsonWebKey]


class ApiKey(Shape):
    """A key without its secret."""

    api_key_id: Id
    name: str
    scopes: list[Literal["read", "trade"]]
    tier: str
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None


class NewApiKey(ApiKey):
    """The only answer with the key itself; null in a replay."""

    api_key: str | None


class ApiKeys(Shape):
    """At most 20."""

    items: list[ApiKey]


class Session(Shape):
    """One log-in."""

    session_id: Id
    user_agent: str
    created_at: Time
    last_used_at: Time
    expires_at: Time
    current: bool = Field(description="Whether it is that of the access token.")


class Sessions(Shape):
    """At most 50, the one used last first."""

    items: list[Session]


class Ticket(Shape):
    """For one WebSocket."""

    ticket: str
    expires_at: Time
    ws_url: str | None
