"""The HTTP server gives up on connections that never become a request."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web

from runtime.errors import ErrorCode
from runtime.http_server import HEADERS_MAX_BYTES, HttpServer

IDLE_SECONDS = 0.5


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(text="hello")

    app = web.Application()

    async def break_down(_request: web.Request) -> web.Response:
        raise ValueError("secret")

    app.router.add_get("/", answer)
    app.router.add_get("/defect", break_down)
    server = HttpServer(app, host="127.0.0.1", port=0, idle_seconds=IDLE_SECONDS)
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize(
    "beginning", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half the headers"]
)
@pytest.mark.parametrize("after_a_request", [False, True])
async def test_a_connection_without_a_whole_request_is_closed(
    server: HttpServer, beginning: bytes, after_a_request: bool
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    if after_a_request:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    writer.write(beginning)
    async with asyncio.timeout(10 * IDLE_SECONDS):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_beyond_the_limit_is_closed_and_those_before_stay() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", answer)
    server = HttpServer(app, host="127.0.0.1", port=0, connections_max=2)
    await server.start()
    first, second, third = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    async with asyncio.timeout(20):
        with suppress(ConnectionResetError):
            assert await third[0].read() == b""
        for reader, writer in (first, second):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        first[1].close()
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(ConnectionResetError, asyncio.IncompleteReadError):
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
                break
    await server.stop()


LONG = b"a" * (HEADERS_MAX_BYTES + 1)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + LONG + b"\r\n\r\n",
        b"GET /" + LONG + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01secret\r\n\r\n",
    ],
    ids=["long header", "long path", "length", "two lengths", "version", "not HTTP"],
)
async def test_what_is_no_request_is_refused_in_the_words_of_the_protocol(
    server: HttpServer, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request_bytes)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["code"] == "MALFORMED_REQUEST"
    assert problem["trace_id"]
    assert problem["detail"] == ErrorCode.MALFORMED_REQUEST.help
    assert not caplog.records, "nobody fills our log with stacks"


async def test_a_defect_of_a_handler_shows_no_text(server: HttpServer) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/defect") as answer,
    ):
        assert answer.status == 500
        assert (await answer.json(content_type=None))["code"] == "INTERNAL"
        assert "secret" not in await answer.text()


async def test_a_stop_lets_a_running_request_end(server: HttpServer) -> None:
    async with aiohttp.ClientSession() as session:
        asking = asyncio.ensure_future(session.get(f"http://127.0.0.1:{server.port}/"))
        await asyncio.sleep(0.1)
        await server.stop()
        assert (await asking).status == 200
