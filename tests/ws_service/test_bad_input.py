"""Whatever a client says or does: no internal error, no exception's text, and the others go on."""

import asyncio
import json
import secrets
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.ws_service.support import Live, Servers, run_live

MARKET = "0190a000-0000-7000-8000-000000000001"
HANDSHAKE = (
    "GET /ws/v1 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HUGE = "9" * 5_000
TEXTS = [
    "",
    "\x00",
    "\ufeff{}",
    "[" * 16_000,
    '{"a":' * 5_000,
    '{"cmd": "ping", "cmd": "list"}',
    '{"cmd": "ping", "id": 1, "id": 2}',
    '{"cmd": "ping", "id": NaN}',
    '{"cmd": "ping", "id": 1e400}',
    '{"cmd": "ping", "id": Infinity}',
    f'{{"cmd": "ping", "id": {HUGE}}}',
    f'{{"cmd": "ping", "id": {2**53}}}',
    f'{{"cmd": "ping", "id": {2**64}}}',
    f'{{"cmd": "nothing", "id": {-(2**63) - 1}}}',
    '{"cmd": "ping", "id": "\\ud800"}',
    '{"cmd": "auth"}',
    '{"cmd": "auth", "ticket": null}',
    '{"cmd": "auth", "ticket": ""}',
    f'{{"cmd": "auth", "ticket": "{"x" * 201}"}}',
    '{"cmd": "auth", "token": "eyJ"}',
    '{"cmd": "subscribe", "channel": "user", "market_ids": ["*"]}',
    '{"cmd": "subscribe", "channel": "user", "user_id": "somebody else"}',
    '{"cmd": "subscribe", "channel": "trades", "market_ids": ["*"]}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": ["{MARKET}"], "since_user_seq": 1}}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": ["urn:uuid:{MARKET}"]}}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": ["{{{MARKET}}}"]}}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": ["{MARKET.replace("-", "")}"]}}',
    '{"cmd": "subscribe", "channel": "book", "market_ids": ["market.>"]}',
    '{"cmd": "subscribe", "channel": "book", "market_ids": [">"]}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": {json.dumps([MARKET] * 201)}}}',
    '{"cmd": "subscribe", "channel": "user", "since_user_seq": 1.0}',
    '{"cmd": "subscribe", "channel": "user", "since_user_seq": "1"}',
    '{"cmd": "subscribe", "channel": "user", "since_user_seq": true}',
    '{"cmd": "subscribe", "channel": "user", "since_user_seq": 9223372036854775808}',
    '{"cmd": "unsubscribe", "channel": "user"}',
    '{"cmd": "snapshot", "channel": "trades", "market_ids": []}',
    f'{{"cmd": "snapshot", "market_ids": ["{MARKET}"]}}',
    '{"type": "hello"}',
]
ALLOWED = {"INVALID_ARGUMENT", "UNAUTHENTICATED", "MARKET_NOT_FOUND"}


@pytest.mark.parametrize("text", TEXTS)
async def test_hostile_texts_are_refused_with_a_code(live: Live, text: str) -> None:
    reader = await live.connect()
    await reader.socket.send_str(text)
    frame = await reader.next()
    assert (frame["type"], frame["code"] in ALLOWED) == ("error", True), frame
    assert not any(word in frame["message"] for word in ("Traceback", "Error", "msgspec", "ws_service"))
    await reader.send(id=1, cmd="ping")
    assert (await reader.next())["type"] == "pong"


RAW = {
    "a reserved opcode": b"\x83\x80\0\0\0\0",
    "a reserved bit": b"\xf1\x80\0\0\0\0",
    "not UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    "2^63 bytes announced": b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0",
    "a gigabyte announced": b"\x81\xff\0\0\0\0\x40\0\0\0\0\0\0\0",
    "a ping of 126 bytes": b"\x89\xfe\0\x7e\0\0\0\0" + b"x" * 126,
    "a continuation of nothing": b"\x80\x80\0\0\0\0",
    "a close of one byte": b"\x88\x81\0\0\0\0x",
    "a close with code 1": b"\x88\x82\0\0\0\0\0\x01",
    "fragments without end": b"\x01\xfe\x40\0\0\0\0\0"
    + b"x" * 0x4000
    + (b"\0\xfe\x40\0\0\0\0\0" + b"x" * 0x4000) * 3,
    "binary": b"\x82\x84\0\0\0\0junk",
}


@pytest.mark.parametrize("name", RAW)
async def test_what_is_no_websocket_is_closed_and_others_go_on(live: Live, name: str) -> None:
    other = await live.connect()
    await other.subscribe("status", "*")
    address = urlsplit(live.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(HANDSHAKE.format(host=address.netloc).encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(RAW[name])
    async with asyncio.timeout(20):
        try:
            rest = await reader.read(-1)  # until the server closes
        except ConnectionResetError:
            rest = b""
    assert b"Traceback" not in rest
    writer.close()
    await other.send(id=1, cmd="ping")
    assert (await other.next())["type"] == "pong"


async def test_random_bytes_end_nothing_but_their_own_socket(live: Live) -> None:
    other = await live.connect()
    address = urlsplit(live.url)

    async def one() -> None:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(HANDSHAKE.format(host=address.netloc).encode() + secrets.token_bytes(500))
        await asyncio.sleep(0.2)
        writer.close()

    await asyncio.gather(*(one() for _ in range(100)))
    await other.send(id=1, cmd="ping")
    assert (await other.next())["type"] == "pong"


async def test_a_thousand_subscriptions_are_not_given(servers: Servers) -> None:
    async with run_live(servers, messages_per_second=100) as live:
        reader = await live.connect()
        markets = [f"0190a000-0000-7000-8000-{number:012x}" for number in range(1_000)]
        for market in markets:
            live.books.put(market)
        outcomes = []
        for start in range(0, 1_000, 200):
            frame = await reader.subscribe("trades", *markets[start : start + 200])
            outcomes.append(frame["type"])
        assert outcomes == ["subscribed"] + ["error"] * 4


async def test_sixty_four_kibibytes_are_too_much(live: Live) -> None:
    reader = await live.connect()
    await reader.socket.send_str(json.dumps({"cmd": "ping", "id": "x" * 65_536}))
    assert await reader.closed_with() == 1009


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://localhost.evil.example",
        "file://",
        "http://[::1",
        "http://evil.example:80@localhost",
        "http://localhost:80@evil.example",
    ],
)
async def test_a_bad_origin_is_refused(live: Live, origin: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await live.connect(origin=origin)
    assert refused.value.status == 403
