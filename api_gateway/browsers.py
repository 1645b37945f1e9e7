"""Browser sessions: from cookies to a bearer token, with protection against other sites' pages, renewed on the way.

`Authorization` always goes first; cookies are looked at only without it. A request that changes something must show
that a page of ours (or of an allowed origin) sent it: its Origin, its Sec-Fetch-Site, and the token of the readable
cookie repeated in `X-CSRF-Token`.
"""

import hmac
import secrets
from typing import Final

from aiohttp import web

from api_gateway.cookies import CSRF_HEADER, CookieJar, SessionCookies
from api_gateway.cors import Cors
from api_gateway.peers import Peers
from api_gateway.renewals import Renewals, Renewed
from predmarket.auth.v1 import auth_pb2
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode

_CSRF_BYTES: Final = 24
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class Browsers:
    """What the gateway does for browsers. `insecure`: cookies for plain http."""

    def __init__(self, renewals: Renewals, peers: Peers, cors: Cors, clock: Clock, *, insecure: bool) -> None:
        self._renewals = renewals
        self._peers = peers
        self._cors = cors
        self._clock = clock
        self._insecure = insecure
        self._jar = CookieJar(insecure=insecure)

    def session(self, request: web.Request) -> SessionCookies | None:
        """That of the cookies, checked for who sent it when the request changes something. Raises CSRF_REJECTED."""
        if "Cookie" not in request.headers:
            return None
        session = self._jar.read(request.cookies)
        if session is not None and request.method != "GET":
            self._check_sender(request, session)
        return session

    def check_can_keep(self, request: web.Request) -> None:
        """Before cookies are set. Raises COOKIES_NEED_HTTPS, or CSRF_REJECTED where another site's page asks."""
        if not self._is_own_page(request):
            raise ApiError(ErrorCode.CSRF_REJECTED)
        if not self._insecure and not self._peers.keeps_secure_cookies(request):
            raise ApiError(ErrorCode.COOKIES_NEED_HTTPS)

    def begun(self, tokens: auth_pb2.Tokens) -> tuple[str, list[str]]:
        """The CSRF token and the Set-Cookie headers of a new session."""
        csrf_token = secrets.token_urlsafe(_CSRF_BYTES)
        renewed = Renewed(
            tokens.access_token, tokens.access_expires_at, tokens.refresh_token, tokens.refresh_expires_at
        )
        return csrf_token, self._set(renewed, csrf_token)

    async def renewed(self, session: SessionCookies) -> tuple[str, list[str]]:
        """The next access token, and the Set-Cookie headers. Raises REFRESH_TOKEN_INVALID, ACCOUNT_SUSPENDED."""
        if not session.refresh_token:
            raise ApiError(ErrorCode.REFRESH_TOKEN_INVALID)
        renewed = await self._renewals.renew(session.refresh_token)
        return renewed.access_token, self._set(renewed, session.csrf_token)

    def ended(self) -> list[str]:
        """Set-Cookie headers that forget the session."""
        return self._jar.clear()

    def _set(self, renewed: Renewed, csrf_token: str) -> list[str]:
        now = self._clock.now_micros()
        session = SessionCookies(renewed.access_token, renewed.refresh_token, csrf_token)
        return self._jar.set(
            session,
            access_seconds=(renewed.access_expires_at - now) // 1_000_000,
            refresh_seconds=(renewed.refresh_expires_at - now) // 1_000_000,
        )

    def _check_sender(self, request: web.Request, session: SessionCookies) -> None:
        repeated = request.headers.get(CSRF_HEADER, "")
        is_repeated = bool(session.csrf_token) and hmac.compare_digest(
            repeated.encode("utf-8", "surrogateescape"), session.csrf_token.encode("utf-8", "surrogateescape")
        )
        if not is_repeated or not self._is_own_page(request):
            raise ApiError(ErrorCode.CSRF_REJECTED)

    def _is_own_page(self, request: web.Request) -> bool:
        """Whatever a browser says of the page that asks; programs that are none say nothing."""
        origin = request.headers.get("Origin")
        if origin is not None and origin in self._cors.origins:
            return True
        scheme = "https" if self._peers.is_https(request) else "http"
        is_own = origin is None or origin == f"{scheme}://{request.host}"
        return is_own and request.headers.get("Sec-Fetch-Site", "none") in _OWN_SITE


class Visit:
    """One request's side of it."""

    __slots__ = ("_browsers", "_request", "set_cookies")

    def __init__(self, browsers: Browsers, request: web.Request) -> None:
        self._browsers = browsers
        self._request = request
        self.set_cookies: list[str] = []
        """Set-Cookie headers of the answer, whatever it says."""

    def session(self) -> SessionCookies | None:
        """As `Browsers.session`."""
        return self._browsers.session(self._request)

    async def renew(self, session: SessionCookies) -> str:
        """The next access token; the browser is told. One that is refused is forgotten there, and raised here."""
        try:
            access_token, self.set_cookies = await self._browsers.renewed(session)
        except ApiError as error:
            if error.code in (ErrorCode.REFRESH_TOKEN_INVALID, ErrorCode.ACCOUNT_SUSPENDED):
                self.end()
            raise
        return access_token

    def check_can_keep(self) -> None:
        """As `Browsers.check_can_keep`."""
        self._browsers.check_can_keep(self._request)

    def begin(self, tokens: auth_pb2.Tokens) -> str:
        """Hands a new session to the browser. The CSRF token."""
        csrf_token, self.set_cookies = self._browsers.begun(tokens)
        return csrf_token

    def end(self) -> None:
        """Forgets the session."""
        self.set_cookies = self._browsers.ended()
