"""Who calls: nobody, the holder of a token or API key, or somebody who logs in and stays logged in."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from predmarket_client.errors import ApiError, NoAnswer
from predmarket_client.shapes.accounts import Session, Tokens

RENEW_BEFORE_SECONDS = 30.0
RENEW_BEFORE_SHARE = 0.2


class Credentials(Protocol):
    """What a call needs to know."""

    async def authorization(self) -> str | None:
        """The `Authorization` header; None to go without."""

    async def renew(self, refused: str) -> bool:
        """A header was refused (401): whether there is now another to try."""


class Anonymous:
    """Sees what everybody may see."""

    async def authorization(self) -> str | None:
        return None

    async def renew(self, refused: str) -> bool:
        return False


class Bearer:
    """An API key (`pmk_...`), or an access token somebody else keeps fresh."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    async def authorization(self) -> str | None:
        return self._header

    async def renew(self, refused: str) -> bool:
        return False


LogIn = Callable[[str, str], Awaitable[tuple[Session, str | None]]]
Refresh = Callable[[str], Awaitable[tuple[Tokens, str | None]]]


class PasswordLogin:
    """Logs in with the first call, and refreshes the access token before it expires or when it is refused.

    A refresh token works once, and showing it twice ends the session. So a refresh is never repeated: when its answer
    is lost, or it is refused, this logs in again. Calls that need a new token at the same time share one.
    """

    def __init__(self, email: str, password: str, *, log_in: LogIn, refresh: Refresh) -> None:
        self.email = email
        self._tokens: Tokens | None = None
        self._password = password
        self._log_in = log_in
        self._refresh = refresh
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def authorization(self) -> str | None:
        async with self._lock:
            if self._tokens is None or time.monotonic() >= self._renew_at:
                await self._next_tokens()
            return self._header()

    async def renew(self, refused: str) -> bool:
        async with self._lock:
            if self._header() == refused:  # else somebody was here first
                await self._next_tokens()
            return True

    def take(self, tokens: Tokens, date: str | None) -> None:
        """Tokens of a session that was just begun; `date`: the server's, of the same answer."""
        self._tokens = tokens
        lifetime = _lifetime_seconds(tokens.access_expires_at, date)
        spare = min(RENEW_BEFORE_SECONDS, lifetime * RENEW_BEFORE_SHARE)
        self._renew_at = time.monotonic() + lifetime - spare

    def forget(self) -> str | None:
        """The refresh token of the session, which this no longer uses; None when there is none."""
        tokens, self._tokens = self._tokens, None
        return None if tokens is None else tokens.refresh_token

    def password_changed(self, password: str) -> None:
        """The session goes on; the next one begins with this."""
        self._password = password

    async def _next_tokens(self) -> None:
        tokens, self._tokens = self._tokens, None
        if tokens is not None:
            with suppress(ApiError, NoAnswer):  # whatever it was, a new session serves as well
                self.take(*await self._refresh(tokens.refresh_token))
                return
        session, date = await self._log_in(self.email, self._password)
        self.take(session, date)

    def _header(self) -> str | None:
        return None if self._tokens is None else f"Bearer {self._tokens.access_token}"


def _lifetime_seconds(expires_at: datetime, date: str | None) -> float:
    """By the server's clock, which ours may differ from. Never negative or nothing: a 401 tells the rest."""
    now = datetime.now(UTC)
    if date is not None:
        with suppress(ValueError):
            now = parsedate_to_datetime(date)
    return max(1.0, (expires_at - now).total_seconds())
