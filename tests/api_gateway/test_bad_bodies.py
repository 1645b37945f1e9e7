"""Bad input at REST: numbers, ids, texts, JSON and HTTP that no client should send. None is more than a 4xx."""

import asyncio
import gzip
import socket
from typing import Any

import orjson
import pytest

from tests.api_gateway.support import POINT, Suite, User
from tests.auth_service.support import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWER_SECONDS = 30
# Texts of JSON numbers, and of what is none.
BAD_NUMBERS = (
    "-1", "0", str(2**53 + 1), str(2**63 - 1), str(2**63), "NaN", "Infinity", "-Infinity", "1e400", "1000.0", "1e3",
    '"1000"', "true", "１０００", '"１０００"', "9" * 5_000, "[]", "{}",
)  # fmt: skip
UUID = "0190a000-0000-7000-8000-00000000000a"
BAD_IDS = (
    f"urn:uuid:{UUID}", "{" + UUID + "}", UUID.replace("-", ""), UUID.upper(), UUID[:-1] + "１", "", "x", UUID + "\n",
)  # fmt: skip
HIDDEN = ("\u202e", "\u200b", "\ufeff")


def order(market_id: str, **fields: Any) -> dict[str, Any]:
    base = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "LIMIT"}
    return {**base, "price_micros": 100_000, "quantity_micros": POINT, **fields}


def with_text(body: dict[str, Any], name: str, text: str) -> bytes:
    """The body with this text as the value of one field, whatever the text is."""
    marked = orjson.dumps({**body, name: "<here>"})
    return marked.replace(b'"<here>"', text.encode())


def item_text(item: dict[str, Any]) -> str:
    return " ".join(str(value) for value in item.values())


async def refused(user: User, method: str, path: str, raw: bytes) -> None:
    reply = await user.ask(method, path, raw=raw)
    assert reply.status in (400, 413, 422), (path, raw[:200], reply)


@pytest.mark.parametrize("text", BAD_NUMBERS, ids=lambda text: text[:20])
async def test_a_bad_number_is_refused_wherever_it_stands(
    shared_suite: Suite, shared_admin: User, shared_market: str, text: str
) -> None:
    good = order(shared_market)
    for path in ("/v1/orders", "/v1/quotes"):
        for name in ("price_micros", "quantity_micros", "expected_price_micros"):
            await refused(shared_admin, "POST", path, with_text(good, name, text))
        market = {**good, "type": "MARKET"}
        del market["price_micros"], market["quantity_micros"]
        await refused(shared_admin, "POST", path, with_text(market, "amount_micros", text))
        if text != "0":
            await refused(shared_admin, "POST", path, with_text(good, "max_slippage_bps", text))
    batch = orjson.dumps({"orders": "<here>"}).replace(
        b'"<here>"', b"[%s]" % with_text(good, "price_micros", text)
    )
    await refused(shared_admin, "POST", "/v1/orders/batch", batch)
    for verb in ("mint", "merge"):
        await refused(
            shared_admin,
            "POST",
            f"/v1/markets/{shared_market}/{verb}",
            with_text({}, "quantity_micros", text),
        )
    terms = {"question": "Will it?", "liquidity_micros": 1_000 * POINT}
    for name in ("liquidity_micros", "initial_probability_micros", "tick_micros"):
        await refused(shared_admin, "POST", "/v1/admin/markets", with_text(terms, name, text))
    if text != "0":
        await refused(shared_admin, "POST", "/v1/admin/markets", with_text(terms, "fee_bps", text))
    if text != "-1":
        grant = {"kind": "PROMOTION", "reason": "x"}
        await refused(
            shared_admin, "POST", "/v1/admin/treasury/grants", with_text(grant, "amount_micros", text)
        )


async def test_numbers_below_the_least_and_off_the_grid_have_a_code_of_their_own(
    shared_admin: User, shared_market: str
) -> None:
    market = {**order(shared_market), "type": "MARKET", "price_micros": None, "quantity_micros": None}
    cases = [
        ({**market, "amount_micros": 999}, "AMOUNT_TOO_SMALL"),
        (order(shared_market, quantity_micros=900), "AMOUNT_TOO_SMALL"),
        (order(shared_market, quantity_micros=POINT + 1), "QUANTITY_NOT_ON_LOT"),
        (order(shared_market, price_micros=100_001), "PRICE_NOT_ON_TICK"),
        (order(shared_market, max_slippage_bps=10_001), "INVALID_ARGUMENT"),
    ]
    for body, code in cases:
        reply = await shared_admin.ask("POST", "/v1/orders", body)
        assert (reply.status, reply.code) == (422, code), body


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("side", "outcome", "type")
            for value in ("yes", "buy", 2, None, 99, "BUY\n", "")
        ),
        *(("time_in_force", value) for value in ("gtc", 99, "FOREVER")),
        ("self_trade", "cancel_taker"),
        ("expires_at", "yesterday"),
        ("post_only", "true"),
        ("client_order_id", "a b"),
    ],
)
async def test_an_unknown_value_of_an_enum_is_refused_and_named(
    shared_admin: User, shared_market: str, name: str, value: Any
) -> None:
    reply = await shared_admin.ask("POST", "/v1/orders", order(shared_market, **{name: value}))
    assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT")
    assert [item["pointer"] for item in reply.body["errors"]] == [f"/{name}"]


@pytest.mark.parametrize("text", BAD_IDS)
async def test_an_id_has_one_spelling(shared_admin: User, text: str) -> None:
    reply = await shared_admin.ask("POST", "/v1/orders", order(text))
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, "/market_id")
    quoted = text.replace("{", "%7b").replace("}", "%7d").replace("\n", "%0a") or "%20"
    for method, path, code in (
        ("GET", f"/v1/markets/{quoted}", "MARKET_NOT_FOUND"),
        ("GET", f"/v1/markets/{quoted}/book", "MARKET_NOT_FOUND"),
        ("DELETE", f"/v1/orders/{quoted}", "ORDER_NOT_FOUND"),
        ("GET", f"/v1/admin/users/{quoted}", "USER_NOT_FOUND"),
        ("DELETE", f"/v1/api-keys/{quoted}", "NOT_FOUND"),
    ):
        reply = await shared_admin.ask(method, path)
        assert (reply.status, reply.code) == (404, code), path
    reply = await shared_admin.ask("GET", f"/v1/orders?market_id={quoted}")
    assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT")


SMUGGLED = ("role", "balance", "user_id", "available_micros", "is_admin", "__proto__", "fee_micros", "seq")


@pytest.mark.parametrize("name", SMUGGLED)
async def test_fields_that_are_not_the_client_s_to_set_are_refused_and_named(
    shared_suite: Suite, shared_admin: User, shared_market: str, name: str
) -> None:
    register = {"email": f"{name.strip('_')}@example.org", "password": PASSWORD}
    writes: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/auth/register", register),
        ("PATCH", "/v1/me", {"display_name": "x"}),
        ("POST", "/v1/orders", order(shared_market)),
        ("POST", f"/v1/markets/{shared_market}/mint", {"quantity_micros": POINT}),
        ("POST", "/v1/api-keys", {"name": "x", "scopes": ["read"]}),
        ("POST", "/v1/admin/markets", {"question": "x", "liquidity_micros": 1_000 * POINT}),
    ]
    for method, path, body in writes:
        reply = await shared_admin.ask(method, path, {**body, name: 1})
        assert (reply.status, [item["pointer"] for item in reply.body["errors"]]) == (422, [f"/{name}"]), path
    login = {"email": register["email"], "password": PASSWORD}
    assert (await shared_suite.nobody().ask("POST", "/v1/auth/login", login)).code == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(
    ("name", "raw", "status"),
    [
        ("100,000 deep", b"[" * 100_000, 413),
        ("30,000 deep", b"[" * 30_000 + b"]" * 30_000, 400),
        ("deep in a field", b'{"orders":' * 5_000 + b"1" + b"}" * 5_000, 400),
        ("a key twice", b'{"quantity_micros": 1, "quantity_micros": 1000000}', 400),
        ("a key twice in disguise", b'{"quantity_micros": 1, "quantity_m\\u0069cros": 1000000}', 400),
        ("NUL", b'{"quantity_micros": "\\u0000"}', 400),
        ("a lone surrogate", b'{"quantity_micros": "\\ud800"}', 400),
        ("not UTF-8", b'{"quantity_micros": "\xff\xfe"}', 400),
        ("a title of a megabyte", b'{"question": "' + b"x" * 2**20 + b'"}', 413),
        ("one byte too many", b" " * (64 * 1024 + 1), 413),
        ("gzip", gzip.compress(b"{}" + b" " * 2**20), 400),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_a_body_that_is_no_plain_json_is_refused(
    shared_admin: User, shared_market: str, name: str, raw: bytes, status: int
) -> None:
    for path in ("/v1/orders", f"/v1/markets/{shared_market}/mint", "/v1/admin/markets", "/v1/auth/login"):
        reply = await shared_admin.ask("POST", path, raw=raw)
        assert reply.status == status, (name, path, reply)


async def test_a_bomb_of_gzip_is_not_unpacked(shared_admin: User) -> None:
    bomb = gzip.compress(b" " * 2**24)
    for encoding in ("gzip", "deflate", "br", "gzip, gzip"):
        headers = {"Content-Encoding": encoding}
        reply = await shared_admin.ask("POST", "/v1/orders", raw=bomb, headers=headers)
        assert reply.status in (400, 415), encoding


async def test_texts_are_kept_as_they_came_or_refused_and_never_run(
    shared_suite: Suite, shared_admin: User
) -> None:
    ugly = (
        "'; DROP TABLE users; --",
        '=HYPERLINK("http://x")',
        "%s %n {0}",
        "<script>alert(1)</script>",
        "\u202eevil",
    )
    for text in ugly:
        terms = {"question": f"Q {text}", "description": text, "liquidity_micros": 1_000 * POINT}
        made = await shared_admin.ask("POST", "/v1/admin/markets", terms)
        assert made.status in (201, 422), text
        if made.status == 201:
            assert made.body["description"] == text
        for path in (
            "/v1/markets?q=",
            "/v1/markets?category=",
            "/v1/admin/users?q=",
            "/v1/admin/audit?target=",
        ):
            reply = await shared_admin.ask(
                "GET", path + text.replace("%", "%25").replace("&", "%26").replace("#", "%23")
            )
            assert reply.status in (200, 422), (path, text)
            if reply.status == 200:
                assert all(text in item_text(item) for item in reply.body["items"]), (path, text)
    ann = await shared_suite.user("texts")
    for text in (*HIDDEN, "a\r\nSet-Cookie: x=1", "\x1b[2J", "x" * 201):
        reply = await ann.ask("PATCH", "/v1/me", {"display_name": text})
        assert reply.status == 422, text


async def test_methods_types_and_paths_that_are_not_ours(shared_admin: User) -> None:
    for method in ("PUT", "OPTIONS", "TRACE", "HEAD", "PROPFIND"):
        reply = await shared_admin.ask(method, "/v1/orders")
        assert reply.status == 405, method
        assert reply.headers["Allow"] == "DELETE, GET, POST"
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "x",
    ):
        reply = await shared_admin.ask("POST", "/v1/orders", raw=b"{}", headers={"Content-Type": media_type})
        assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE"), media_type
    for path in (
        "/v1/orders/../admin/users", "/v1//orders", "/v1/orders/", "/V1/orders", "/v1/orders%2f", "/v1/orders;x=1",
        "/docs/../../etc/passwd", "/docs/%2e%2e/%2e%2e/etc/passwd", "/docs/..%2f..%2fetc%2fpasswd", "/v1/orders%00",
    ):  # fmt: skip
        head = await _raw_status(
            shared_admin.url, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        assert head in (400, 401, 404), (path, head)


async def test_headers_have_a_size_and_a_deadline_and_chunks_an_end(shared_admin: User) -> None:
    url = shared_admin.url
    for headers in (f"X-Long: {'x' * 20_000}", "".join(f"X-{number}: y\r\n" for number in range(5_000))[:-2]):
        status = await _raw_status(url, f"GET /v1/time HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode())
        assert status in (400, 431, 0), headers[:20]
    head = (
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {shared_admin.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    assert await _raw_status(url, head + chunk * 40) == 413  # the end never comes
    assert await _raw_status(url, head + b"zz\r\n") == 400
    both = head.replace(b"Transfer-Encoding", b"Content-Length: 5\r\nTransfer-Encoding")
    assert await _raw_status(url, both + b"0\r\n\r\n") == 400


QUERIES = (
    "limit=-1",
    "limit=1000000000",
    "limit=1.0",
    "limit=１",
    "limit=true",
    "cursor=AAAA",
    "cursor=%00",
    "cursor=" + "x" * 5_000,
)


@pytest.mark.parametrize("query", QUERIES, ids=lambda text: text[:20])
async def test_forged_pages_are_refused(shared_admin: User, query: str) -> None:
    for path in (
        "orders",
        "fills",
        "ledger",
        "positions",
        "settlements",
        "markets",
        "admin/users",
        "admin/audit",
        "admin/revenue",
    ):
        reply = await shared_admin.ask("GET", f"/v1/{path}?{query}")
        assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT"), path


async def test_a_cursor_opens_nobody_else_s_list(
    shared_suite: Suite, shared_admin: User, shared_market: str
) -> None:
    ann, bob = await shared_suite.user("cursor-a"), await shared_suite.user("cursor-b")
    for _ in range(2):
        await ann.post("/v1/orders", order(shared_market))
    cursor = (await ann.get("/v1/orders?limit=1"))["next_cursor"]
    assert len((await ann.get(f"/v1/orders?limit=1&cursor={cursor}"))["items"]) == 1
    reply = await bob.ask("GET", f"/v1/orders?limit=1&cursor={cursor}")
    assert reply.status == 422 or reply.body["items"] == []
    for path in ("ledger", "fills", "markets", "positions"):
        assert (await ann.ask("GET", f"/v1/{path}?cursor={cursor}")).status in (200, 422), path


async def _raw_status(url: str, request: bytes) -> int:
    """Of what answers these bytes; 0: the door was closed."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), family=socket.AF_INET)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            writer.write(request)
            line = await reader.readline()
    except ConnectionError:
        return 0
    finally:
        writer.close()
    return int(line.split()[1]) if line else 0
