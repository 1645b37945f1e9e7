"""The client: one object per identity, with the API's areas as its attributes."""

import random
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

import msgspec

from predmarket_client.areas.accounts import Accounts, begun, refreshed
from predmarket_client.areas.admin import Admin
from predmarket_client.areas.analytics import Analytics
from predmarket_client.areas.api_keys import ApiKeys
from predmarket_client.areas.markets import Markets
from predmarket_client.areas.orders import Orders
from predmarket_client.areas.portfolio import Portfolios
from predmarket_client.areas.sessions import Sessions
from predmarket_client.caller import Caller
from predmarket_client.credentials import Anonymous, Bearer, Credentials, PasswordLogin
from predmarket_client.errors import ProtocolError
from predmarket_client.retries import RetryPolicy
from predmarket_client.shapes.accounts import Session, Tokens
from predmarket_client.stream.connection import Connection, open_connection
from predmarket_client.stream.stream import Stream
from predmarket_client.transport import HttpTransport


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks at the address, and where its live feed is."""

    name: str
    api: str
    ws_url: str | None = None


class _Time(msgspec.Struct, frozen=True):
    time: datetime


class Client:
    """Use as an async context manager, in one event loop.

    Without `token` or `email`: sees what everybody may see. `token`: an API key or an access token. `email` and
    `password`: logs in with the first call that needs it, and stays logged in.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        email: str | None = None,
        password: str | None = None,
        retries: RetryPolicy | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if (email is None) != (password is None) or (token is not None and email is not None):
            raise ValueError("either a token, or e-mail and password, or neither")
        self._chance = chance
        self._transport = HttpTransport(url)
        self._caller = Caller(self._transport, Anonymous(), retries or RetryPolicy(), chance=chance)
        self._caller.credentials = self._credentials(token, email, password)
        self.accounts = Accounts(self._caller)
        self.api_keys = ApiKeys(self._caller)
        self.sessions = Sessions(self._caller)
        self.markets = Markets(self._caller)
        self.analytics = Analytics(self._caller)
        self.orders = Orders(self._caller)
        self.portfolio = Portfolios(self._caller)
        self.admin = Admin(self._caller)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections. A session that was begun stays valid; `accounts.log_out` ends it."""
        await self._transport.close()

    async def version(self) -> Version:
        """Of the engine."""
        return await self._caller.get("/version", Version)

    async def time(self) -> datetime:
        """The engine's clock, for orders with an end."""
        return (await self._caller.get("/v1/time", _Time)).time

    def stream(self, *, ws_url: str | None = None) -> Stream:
        """The live feed, as an async context manager. `ws_url`: where the engine does not say it itself."""
        known_url = ws_url

        async def connect(authorization: str | None) -> Connection:
            nonlocal known_url
            if known_url is None:
                known_url = (await self.version()).ws_url
            if known_url is None:
                raise ProtocolError("the engine does not say where its live feed is: pass ws_url")
            return await open_connection(self._transport.session(), known_url, authorization)

        async def user_seq() -> int:
            return (await self.portfolio.get()).user_seq

        return Stream(connect, self._caller.credentials, user_seq, chance=self._chance)

    def _credentials(self, token: str | None, email: str | None, password: str | None) -> Credentials:
        if token is not None:
            return Bearer(token)
        if email is None or password is None:
            return Anonymous()

        async def log_in(email: str, password: str) -> tuple[Session, str | None]:
            return await begun(self._caller, "/v1/auth/login", {"email": email, "password": password})

        async def refresh(refresh_token: str) -> tuple[Tokens, str | None]:
            return await refreshed(self._caller, refresh_token)

        return PasswordLogin(email, password, log_in=log_in, refresh=refresh)
