"""Accounts, and what lets their owner in: sessions, API keys, tickets."""

from datetime import datetime
from typing import Literal

import msgspec

Role = Literal["user", "analyst", "admin", "treasury"]
Scope = Literal["read", "trade"]


_SECRETS = frozenset({"access_token", "refresh_token", "api_key", "ticket"})


def _without_secrets(struct: msgspec.Struct) -> str:
    """A repr that may be printed and logged."""
    shown = (
        f"{name}={'...' if name in _SECRETS else repr(getattr(struct, name))}"
        for name in struct.__struct_fields__
    )
    return f"{type(struct).__name__}({', '.join(shown)})"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as its owner and administrators see it. `granted`: the first Points have arrived."""

    user_id: str
    email: str
    display_name: str
    role: str
    status: str
    created_at: datetime
    granted: bool = False


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a session hands its owner. The refresh token works once."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    session_id: str

    __repr__ = _without_secrets


class Session(Tokens, frozen=True, kw_only=True):
    """A session that has just begun."""

    user: User


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """One log-in of the caller; `current` is that of the token he asks with."""

    session_id: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. `tier` names its rate limits; `last_used_at` is right to about a minute."""

    api_key_id: str
    name: str
    scopes: tuple[Scope, ...]
    tier: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class NewApiKey(ApiKey, frozen=True, kw_only=True):
    """`api_key` is what a bot shows, told only now; None when the key had been made by an earlier, unanswered call:
    then revoke it and make another."""

    api_key: str | None

    __repr__ = _without_secrets


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """Lets one WebSocket in, once, for 30 seconds."""

    ticket: str
    expires_at: datetime
    ws_url: str | None = None

    __repr__ = _without_secrets
