"""Accounts and sessions."""

from datetime import datetime

import msgspec


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as its owner sees it. `granted`: the first Points have arrived."""

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


class Session(Tokens, frozen=True, kw_only=True):
    """A session that has just begun."""

    user: User
