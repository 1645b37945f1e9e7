"""Sessions of browsers: cookies, protection against other sites' pages, renewal, what plain http does to them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from http.cookies import SimpleCookie
from typing import Any

import pytest
import pytest_asyncio

from api_gateway.renewals import _Place
from tests.api_gateway.support import UNLIMITED, Reply, Suite, User, run_suite
from tests.auth_service.support import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 40
NAMES = {"__Host-pm_access", "__Host-pm_refresh", "__Host-pm_csrf"}


class Browser:
    """Keeps cookies as a browser does on a secure origin."""

    def __init__(self, suite: Suite, url: str = "") -> None:
        self.user = User(suite.http, url or suite.url)
        self.cookies: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = await self.user.ask(method, path, body, headers=sent)
        self.cookies.update(set_cookies(reply))
        self.cookies = {name: value for name, value in self.cookies.items() if value}
        return reply

    async def log_in(self, email: str, **headers: str) -> Reply:
        body = {"email": email, "password": PASSWORD, "cookies": True}
        return await self.ask("POST", "/v1/auth/login", body, **headers)

    @property
    def csrf(self) -> str:
        return self.cookies["__Host-pm_csrf"]


def set_cookies(reply: Reply) -> Mapping[str, str]:
    jar: SimpleCookie = SimpleCookie()
    for header in reply.headers.getall("Set-Cookie", []):  # type: ignore[attr-defined]
        jar.load(header)
    return {name: morsel.value for name, morsel in jar.items()}


@pytest_asyncio.fixture(loop_scope="module")
async def browser(shared_suite: Suite) -> Browser:
    ann = await shared_suite.user("ann")
    made = Browser(shared_suite)
    assert (await made.log_in(ann.email)).status == 200
    return made


async def test_tokens_come_as_cookies_that_scripts_cannot_read(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    reply = await Browser(shared_suite).log_in(ann.email)
    assert (reply.body["access_token"], reply.body["refresh_token"]) == (None, None)
    headers = reply.headers.getall("Set-Cookie")  # type: ignore[attr-defined]
    assert {header.partition("=")[0] for header in headers} == NAMES
    for header in headers:
        assert "; Path=/;" in header
        assert "; SameSite=Strict; Secure" in header
        assert "Domain" not in header
        assert ("HttpOnly" in header) == ("csrf" not in header)
    assert set_cookies(reply)["__Host-pm_csrf"] == reply.body["csrf_token"]


async def test_a_session_reads_and_with_its_token_writes(browser: Browser) -> None:
    me = await browser.ask("GET", "/v1/me")
    assert (me.status, me.headers["Cache-Control"]) == (200, "no-store")
    renamed = await browser.ask("PATCH", "/v1/me", {"display_name": "Ann"}, X_CSRF_Token=browser.csrf)
    assert renamed.body["display_name"] == "Ann"
    assert (await browser.ask("POST", "/v1/ws-tickets", X_CSRF_Token=browser.csrf)).status == 201


async def test_pages_of_other_sites_change_nothing(shared_suite: Suite, browser: Browser) -> None:
    own = {"X_CSRF_Token": browser.csrf}
    foreign: list[dict[str, str]] = [
        {},
        {"X_CSRF_Token": ""},
        {"X_CSRF_Token": browser.csrf + "x"},
        {**own, "Origin": "https://evil.example"},
        {**own, "Origin": "null"},
        {**own, "Origin": shared_suite.url + "0"},
        {**own, "Sec_Fetch_Site": "cross-site"},
        {**own, "Sec_Fetch_Site": "same-site"},
    ]
    for headers in foreign:
        reply = await browser.ask("PATCH", "/v1/me", {"display_name": "Eve"}, **headers)
        assert (reply.status, reply.code) == (403, "CSRF_REJECTED"), headers
    allowed: list[dict[str, str]] = [
        {**own, "Origin": shared_suite.url, "Sec_Fetch_Site": "same-origin"},
        {**own, "Origin": "http://localhost:3000", "Sec_Fetch_Site": "cross-site"},
    ]
    for headers in allowed:
        reply = await browser.ask("PATCH", "/v1/me", {"display_name": "Ann"}, **headers)
        assert reply.status == 200, headers
    stranger = Browser(shared_suite)
    reply = await stranger.log_in("ann@example.org", Origin="https://evil.example")
    assert reply.code == "CSRF_REJECTED"


async def test_a_header_goes_before_cookies(shared_suite: Suite, browser: Browser) -> None:
    bob = await shared_suite.user("bob")
    reply = await browser.ask("GET", "/v1/me", Authorization=f"Bearer {bob.token}")
    assert reply.body["user_id"] == bob.user_id
    assert (await browser.ask("GET", "/v1/me", Authorization="Bearer x")).status == 401


async def test_logging_out_ends_the_session_and_the_cookies(browser: Browser) -> None:
    kept = dict(browser.cookies)
    assert (await browser.ask("POST", "/v1/auth/logout", {})).code == "CSRF_REJECTED"
    assert (await browser.ask("POST", "/v1/auth/logout", {}, X_CSRF_Token=browser.csrf)).status == 204
    assert browser.cookies == {}
    browser.cookies = {name: value for name, value in kept.items() if name != "__Host-pm_access"}
    reply = await browser.ask("GET", "/v1/me")
    assert (reply.status, browser.cookies) == (401, {})


async def test_a_dead_session_still_reads_what_is_public(browser: Browser) -> None:
    browser.cookies = {"__Host-pm_refresh": "pmr_nonsense", "__Host-pm_csrf": "x"}
    assert (await browser.ask("GET", "/v1/markets")).status == 200
    assert browser.cookies == {}


@pytest_asyncio.fixture(loop_scope="module")
async def two_gateways(fresh_database: Any, nats_server: Any, redis_server: Any) -> AsyncIterator[Suite]:
    settings = {"redis_url": redis_server.url, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings, gateways=2) as running:
        yield running


async def test_requests_at_once_over_two_gateways_cause_one_rotation(two_gateways: Suite) -> None:
    ann = await two_gateways.user("ann")
    browser = Browser(two_gateways)
    await browser.log_in(ann.email)
    for _ in range(3):
        del browser.cookies["__Host-pm_access"]
        many = [Browser(two_gateways, two_gateways.urls[index % 2]) for index in range(AT_ONCE)]
        for one in many:
            one.cookies = dict(browser.cookies)
        replies = await asyncio.gather(*(one.ask("GET", "/v1/me") for one in many))
        assert {reply.status for reply in replies} == {200}
        refreshed = {set_cookies(reply)["__Host-pm_refresh"] for reply in replies}
        assert len(refreshed) == 1
        assert refreshed != {browser.cookies["__Host-pm_refresh"]}
        browser.cookies = many[0].cookies
    assert len((await ann.get("/v1/sessions"))["items"]) == 2


async def test_what_lies_in_redis_is_not_the_tokens(two_gateways: Suite, redis_server: Any) -> None:
    from redis.asyncio import Redis

    ann = await two_gateways.user("ann")
    browser = Browser(two_gateways)
    await browser.log_in(ann.email)
    used = browser.cookies["__Host-pm_refresh"]
    del browser.cookies["__Host-pm_access"]
    await browser.ask("GET", "/v1/me")
    async with Redis.from_url(redis_server.url) as redis:
        place = _Place.of(used)
        sealed, seconds = await redis.get(place.result), await redis.ttl(place.result)
    assert isinstance(sealed, bytes)
    assert 0 < seconds <= 30
    for token in (used, browser.cookies["__Host-pm_refresh"], browser.cookies["__Host-pm_access"]):
        assert token.encode() not in sealed
        assert token not in place.result


async def test_plain_http_from_another_machine_is_told_why_it_gets_no_cookies(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    reply = await Browser(shared_suite).log_in(ann.email, Host="192.168.7.7:8080")
    assert (reply.status, reply.code) == (400, "COOKIES_NEED_HTTPS")
    assert "INSECURE_COOKIES" in reply.body["detail"]
    assert "Set-Cookie" not in reply.headers


@pytest_asyncio.fixture(loop_scope="module")
async def on_a_lan(fresh_database: Any, nats_server: Any, redis_server: Any) -> AsyncIterator[Suite]:
    settings = {"insecure_cookies": True, "redis_url": redis_server.url, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as running:
        yield running


async def test_a_setting_makes_cookies_for_plain_http(on_a_lan: Suite) -> None:
    ann = await on_a_lan.user("ann")
    browser = Browser(on_a_lan)
    reply = await browser.log_in(ann.email, Host="192.168.7.7:8080")
    headers = reply.headers.getall("Set-Cookie")  # type: ignore[attr-defined]
    assert {header.partition("=")[0] for header in headers} == {"pm_access", "pm_refresh", "pm_csrf"}
    assert not any("Secure" in header for header in headers)
    assert (await browser.ask("GET", "/v1/me")).status == 200
