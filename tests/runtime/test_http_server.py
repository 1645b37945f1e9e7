"""The HTTP server gives up on connections that never become a request."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from runtime.http_server import HEADERS_MAX_BYTES, HttpServer

IDLE_SECONDS = 0.5


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", answer)
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


async def test_endless_headers_are_refused(server: HttpServer) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"x-long": "a" * (HEADERS_MAX_BYTES + 1)}
        async with session.get(f"http://127.0.0.1:{server.port}/", headers=headers) as answer:
            assert answer.status == 400


async def test_a_stop_lets_a_running_request_end(server: HttpServer) -> None:
    async with aiohttp.ClientSession() as session:
        asking = asyncio.ensure_future(session.get(f"http://127.0.0.1:{server.port}/"))
        await asyncio.sleep(0.1)
        await server.stop()
        assert (await asking).status == 200
