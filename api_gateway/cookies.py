"""The cookies of a browser's session: what they are called, how they are set, taken away and read.

`__Host-` names, which no other host and no plain http may set; access and refresh token are out of scripts' reach. The
third one is for scripts: they send it back as `X-CSRF-Token`, which a page of another site cannot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CSRF_HEADER: Final = "X-CSRF-Token"
_NAMES: Final = ("pm_access", "pm_refresh", "pm_csrf")
_VALUE_MAX_CHARACTERS: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class SessionCookies:
    """What a browser sent; empty where it sent nothing."""

    access_token: str
    refresh_token: str
    csrf_token: str


class CookieJar:
    """`insecure`: names and attributes that a browser keeps over plain http, for a network of one's own."""

    def __init__(self, *, insecure: bool) -> None:
        self._names = [name if insecure else f"__Host-{name}" for name in _NAMES]
        self._secure = "" if insecure else "; Secure"

    def read(self, cookies: Mapping[str, str]) -> SessionCookies | None:
        """None without a session; a token too long to be one of ours counts as none."""
        values = [cookies.get(name, "") for name in self._names]
        values = [value if len(value) <= _VALUE_MAX_CHARACTERS else "" for value in values]
        return SessionCookies(*values) if values[0] or values[1] else None

    def set(self, session: SessionCookies, *, access_seconds: int, refresh_seconds: int) -> list[str]:
        """Set-Cookie headers."""
        lifetimes = (access_seconds, refresh_seconds, refresh_seconds)
        values = (session.access_token, session.refresh_token, session.csrf_token)
        return [
            self._cookie(index, value, seconds)
            for index, (value, seconds) in enumerate(zip(values, lifetimes, strict=True))
        ]

    def clear(self) -> list[str]:
        """Set-Cookie headers that end the session in the browser."""
        return [self._cookie(index, "", 0) for index in range(len(_NAMES))]

    def _cookie(self, index: int, value: str, seconds: int) -> str:
        hidden = "" if _NAMES[index] == "pm_csrf" else "; HttpOnly"
        return f"{self._names[index]}={value}; Path=/; Max-Age={max(0, seconds)}; SameSite=Strict{self._secure}{hidden}"
