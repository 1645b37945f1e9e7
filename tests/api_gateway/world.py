"""Real things for requests to be about; what a request uses up is made anew for each."""

import asyncio
import uuid
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self

from api_gateway.catalogue.accounts import CHALLENGE, CLIENT, PASSWORD, VERIFIER
from api_gateway.routing import Route
from tests.api_gateway.support import POINT, Suite, User, open_market

ANSWER_SECONDS = 60
DRAFT = {"question": "Will it?", "liquidity_micros": 100 * POINT}
ORDERS = 30
KEYS_MAX = 10
OWN_KEY = "the key of the caller"


@dataclass(frozen=True)
class World:
    """`loop` is where the services run."""

    suite: Suite
    loop: asyncio.AbstractEventLoop
    people: Mapping[str, User]
    """By the name of the caller; an API key's owner, too."""
    credentials: Mapping[str, str]
    market_id: str
    """Where everybody trades."""
    idle_market_id: str
    """Where nobody does."""
    victim: User
    """Whom administrators change."""
    spare: User
    """Who only logs in."""
    orders: Mapping[str, tuple[str, ...]]
    """Open ones, by caller."""

    @classmethod
    async def of(cls, suite: Suite, admin: User) -> Self:
        """Two people, an API key of the first, and what they own."""
        user, victim, spare = [await suite.user(name, PASSWORD) for name in ("ann", "victim", "spare")]
        market_id, idle_market_id = await open_market(admin), await open_market(admin)
        key = await user.post("/v1/api-keys", {"name": OWN_KEY, "scopes": ["read", "trade"]})
        people = {"user": user, "admin": admin, "key": user}
        for person in (user, admin):
            await person.post(f"/v1/markets/{market_id}/mint", {"quantity_micros": 100 * POINT}, status=200)
        buy = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "MARKET"}
        await user.post("/v1/orders", {**buy, "quantity_micros": POINT})
        own = {
            name: tuple([await _order(person, market_id) for _ in range(ORDERS)])
            for name, person in people.items()
        }
        return cls(
            suite=suite,
            loop=asyncio.get_running_loop(),
            people=people,
            credentials={"user": user.token, "admin": admin.token, "key": key["api_key"]},
            market_id=market_id,
            idle_market_id=idle_market_id,
            victim=victim,
            spare=spare,
            orders=own,
        )

    @property
    def url(self) -> str:
        return self.suite.url

    def market_for(self, route: Route) -> str:
        """Orders of the market in use stay: others are to be amended and cancelled one by one."""
        return self.idle_market_id if route.method == "DELETE" else self.market_id

    async def id_for(self, route: Route, caller: str) -> str:
        """Something of the caller's, in a state that the route is for."""
        person, path = self.people[caller], route.path
        if "/users/" in path:
            return self.victim.user_id
        if path.startswith("/v1/admin/"):
            return await self._market(path, route.method) if caller == "admin" else self.market_id
        if "/markets/" in path:
            return self.market_id
        if "/api-keys/" in path:
            return await _api_key(person)
        if "/sessions/" in path:  # which an API key cannot end, and of too many the oldest ends
            return await self._session(person) if caller != "key" else self.victim.user_id
        if route.method == "DELETE":
            return await _order(
                person, self.idle_market_id
            )  # in the other there may be as many as are allowed
        return self.orders[caller][uuid.uuid4().int % ORDERS]

    async def value_for(self, placeholder: str, route: Route) -> str:
        """What an example needs."""
        if placeholder == "<market_id>":
            return self.market_id
        if placeholder == "<email>":
            is_new = route.path.endswith("/register")
            return f"{uuid.uuid4().hex}@example.org" if is_new else self.victim.email
        if placeholder == "<refresh_token>":
            return str((await self._log_in())["refresh_token"])
        if placeholder == "<code>":
            return await _code(User(self.suite.http, self.url, token=(await self._log_in())["access_token"]))
        return placeholder

    def wait_for(self, making: Coroutine[Any, Any, str]) -> str:
        """From another thread than the services'."""
        return asyncio.run_coroutine_threadsafe(making, self.loop).result(ANSWER_SECONDS)

    async def _market(self, path: str, method: str) -> str:
        admin = self.people["admin"]
        if method in ("PATCH", "DELETE") or path.endswith("/activate"):
            return str((await admin.post("/v1/admin/markets", DRAFT))["market_id"])
        market_id = await open_market(admin, **DRAFT)
        if path.endswith("/resume"):
            await admin.post(f"/v1/admin/markets/{market_id}/pause", status=200)
        return market_id

    async def _log_in(self) -> Any:
        """A session of somebody who has no other use: of too many the oldest ends."""
        login = {"email": self.spare.email, "password": PASSWORD}
        return await self.suite.nobody().post("/v1/auth/login", login, status=200)

    async def _session(self, person: User) -> str:
        """One more, opened without a password: that may have been changed."""
        exchange = {**CLIENT, "code": await _code(person), "code_verifier": VERIFIER}
        return str((await self.suite.nobody().post("/v1/auth/token", exchange, status=200))["session_id"])


async def _order(person: User, market_id: str) -> str:
    body = {
        "market_id": market_id,
        "side": "BUY",
        "outcome": "YES",
        "type": "LIMIT",
        "price_micros": 100_000,
        "quantity_micros": POINT,
    }
    return str((await person.post("/v1/orders", body))["order_id"])


async def _api_key(person: User) -> str:
    """One without a use: a new one, until there are so many that an old one has to do."""
    listed = (await person.get("/v1/api-keys"))["items"]
    if len(listed) >= KEYS_MAX:
        return next(str(key["api_key_id"]) for key in listed if key["name"] != OWN_KEY)
    answer = await person.post("/v1/api-keys", {"name": "spare", "scopes": ["read"]})
    return str(answer["api_key_id"])


async def _code(person: User) -> str:
    asked = {**CLIENT, "code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    return str((await person.post("/v1/auth/authorize", asked, status=200))["code"])
