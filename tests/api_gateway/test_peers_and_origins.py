"""Proxies are believed only where they are trusted; pages of other origins only where they are allowed."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api_gateway.peers import Peers, networks_of
from tests.api_gateway.support import Suite


def request_of(remote: str, **headers: str) -> web.Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/", headers={"Host": "a.example", **sent}).clone(remote=remote)


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "address"),
    [
        ("", "10.0.0.1", "1.2.3.4", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.9", "1.2.3.4"),
        ("10.0.0.0/8", "9.9.9.9", "1.2.3.4", "9.9.9.9"),
        ("10.0.0.0/8", "10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
        ("::1", "::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "::ffff:9.9.9.9", "1.2.3.4", "::ffff:9.9.9.9"),
    ],
)
def test_an_address_is_the_last_that_no_trusted_proxy_stands_for(
    trusted: str, remote: str, forwarded: str, address: str
) -> None:
    peers = Peers(networks_of(trusted))
    assert peers.address(request_of(remote, X_Forwarded_For=forwarded)) == address


@pytest.mark.parametrize(
    ("trusted", "proto", "host", "keeps"),
    [
        ("", "https", "a.example", False),
        ("10.0.0.0/8", "https", "a.example", True),
        ("10.0.0.0/8", "http", "a.example", False),
        ("", "http", "localhost:8080", True),
        ("", "http", "127.0.0.1", True),
        ("", "http", "[::1]:8080", True),
        ("", "http", "localhost.evil.example", False),
    ],
)
def test_secure_cookies_need_https_or_ones_own_machine(
    trusted: str, proto: str, host: str, keeps: bool
) -> None:
    request = request_of("10.0.0.1", X_Forwarded_Proto=proto, Host=host)
    assert Peers(networks_of(trusted)).keeps_secure_cookies(request) is keeps


async def test_only_allowed_origins_may_read(suite: Suite) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, allowed in (
        ("http://localhost:3000", True),
        ("https://evil.example", False),
        ("null", False),
    ):
        async with suite.http.options(
            f"{suite.url}/v1/orders", headers={**asked, "Origin": origin}
        ) as preflight:
            assert preflight.status == 204
            assert preflight.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        async with suite.http.get(f"{suite.url}/v1/markets", headers={"Origin": origin}) as answer:
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            assert "Origin" in answer.headers["Vary"]
            assert answer.headers.get("Access-Control-Allow-Credentials") == ("true" if allowed else None)
