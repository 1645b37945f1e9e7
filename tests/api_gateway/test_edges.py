"""Bad inputs, headers, caches: what any client may try."""

import asyncio
import socket
from typing import Any

import pytest

from tests.api_gateway.support import Suite, User, open_market
from tests.auth_service.support import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARKET = "0190a000-0000-7000-8000-000000000001"


async def test_accounts_from_first_to_last(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    assert (await ann.get("/v1/me"))["email"] == ann.email
    renamed = await ann.ask("PATCH", "/v1/me", {"display_name": "Ann"})
    assert renamed.body["display_name"] == "Ann"
    login = await ann.post("/v1/auth/login", {"email": ann.email, "password": PASSWORD}, status=200)
    pair = await ann.post("/v1/auth/refresh", {"refresh_token": login["refresh_token"]}, status=200)
    assert (
        await ann.ask("POST", "/v1/auth/refresh", {"refresh_token": login["refresh_token"]})
    ).status == 401
    assert pair["token_type"] == "Bearer"
    assert (await ann.ask("POST", "/v1/auth/logout", {})).status == 204
    wrong = await ann.ask("POST", "/v1/auth/login", {"email": ann.email, "password": "not this one"})
    assert (wrong.status, wrong.code) == (401, "INVALID_CREDENTIALS")
    assert (await ann.ask("POST", "/v1/auth/register", {"email": ann.email, "password": PASSWORD})).code == (
        "EMAIL_TAKEN"
    )


async def test_who_may_call_what(shared_suite: Suite) -> None:
    ann, nobody = await shared_suite.user("ann"), shared_suite.nobody()
    for path in ("/v1/me", "/v1/orders", "/v1/portfolio", "/v1/positions", "/v1/fills", "/v1/ledger"):
        reply = await nobody.ask("GET", path)
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
        reply = await ann.ask("GET", path)
        assert (reply.status, reply.headers["Cache-Control"]) == (200, "no-store")
    for method, path in (("POST", "/v1/admin/markets"), ("GET", "/v1/admin/audit")):
        assert (await nobody.ask(method, path)).status == 401
        assert (await ann.ask(method, path)).code == "FORBIDDEN"
    for token in ("x", "a.b.c", "é", "x" * 9_000):
        reply = await nobody.ask("GET", "/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert reply.status == 401, token


async def test_unknown_routes_are_denied(shared_suite: Suite) -> None:
    nobody = shared_suite.nobody()
    for path in (
        "/",
        "/v1",
        "/v2/markets",
        "/v1/markets/",
        "/metrics",
        "/v1/orders/a/b",
        "/%2e%2e/etc/passwd",
    ):
        reply = await nobody.ask("GET", path)
        assert (reply.status, reply.code) == (404, "NOT_FOUND"), path
    reply = await nobody.ask("PUT", "/v1/markets")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert len(reply.body["trace_id"]) == 32


async def test_ids_have_one_spelling(shared_suite: Suite) -> None:
    nobody = shared_suite.nobody()
    for text in (MARKET, MARKET.upper(), "x", "%00", "1", "{" + MARKET + "}", "a" * 5_000):
        reply = await nobody.ask("GET", f"/v1/markets/{text}")
        assert (reply.status, reply.code) == (404, "MARKET_NOT_FOUND"), text


async def test_bodies_are_read_strictly(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    cases: list[tuple[bytes, int]] = [
        (b'{"a": 1, "a": 1}', 400),
        (b'{"price_micros": NaN}', 400),
        (b"[]", 400),
        (b"x", 400),
        (b"\xff", 400),
        (b'{"market_id": "\\u0000"}', 400),
        (b"{}", 422),
        (b'{"nonsense": 1}', 422),
        (b'"' + b"x" * 70_000 + b'"', 413),
    ]
    for path in ("/v1/orders", "/v1/orders/batch", "/v1/quotes", f"/v1/markets/{MARKET}/mint"):
        for raw, status in cases:
            reply = await ann.ask("POST", path, raw=raw)
            assert reply.status == status, (path, raw[:30], reply)
    reply = await ann.ask("POST", "/v1/orders", raw=b"{}", headers={"Content-Type": "text/plain"})
    assert reply.code == "UNSUPPORTED_MEDIA_TYPE"
    reply = await ann.ask("POST", "/v1/orders", raw=b"{}", headers={"Content-Encoding": "gzip"})
    assert reply.status in (400, 415)


BAD_QUERIES = (
    "limit=0",
    "limit=x",
    "limit=1&limit=2",
    "a=1",
    "cursor=",
    "cursor=zzz",
    "limit=%00",
    "cursor=%ff",
)


async def test_queries_are_read_strictly(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    for query in BAD_QUERIES:
        for path in ("/v1/orders", "/v1/fills", "/v1/ledger", "/v1/positions", "/v1/markets"):
            reply = await ann.ask("GET", f"{path}?{query}")
            assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT"), (path, query)


async def test_an_idempotency_key_is_printable_and_short(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    for key in ("a b", "x" * 191, "é"):
        assert (await ann.ask("POST", "/v1/orders", {}, key=key)).status == 422, key


async def test_public_reads_have_a_tag(shared_suite: Suite, shared_admin: User) -> None:
    market = await open_market(shared_admin)
    nobody = shared_suite.nobody()
    for path in ("/v1/markets", f"/v1/markets/{market}", f"/v1/markets/{market}/book"):
        first = await nobody.ask("GET", path)
        again = await nobody.ask("GET", path, headers={"If-None-Match": first.headers["ETag"]})
        assert (first.status, again.status, again.body) == (200, 304, None)
    assert "ETag" not in (await shared_admin.ask("GET", "/v1/markets")).headers


async def test_the_system_routes(shared_suite: Suite) -> None:
    nobody = shared_suite.nobody()
    assert (await nobody.get("/healthz"))["status"] == "ok"
    assert (await nobody.get("/version"))["api"] == "v1"
    assert (await nobody.get("/v1/time"))["time"].endswith("Z")


async def test_raw_nonsense_gets_an_answer_or_a_closed_door(shared_suite: Suite) -> None:
    port = int(shared_suite.url.rsplit(":", 1)[1])
    texts = [
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ]
    for text in texts:
        answer = await asyncio.wait_for(_raw(port, text), 5)
        assert b" 500 " not in answer.split(b"\r\n")[0]
    assert (await shared_suite.nobody().get("/healthz"))["status"] == "ok"


async def _raw(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
    writer.write(text)
    writer.write_eof()
    answer: Any = await reader.read()
    writer.close()
    return bytes(answer)
