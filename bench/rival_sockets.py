"""The rivals' servers: `python -m bench.rival_sockets aiohttp|websockets PORT`. Each line on stdin is a text that every
client is sent, the way the library's documents show."""

from __future__ import annotations

import asyncio
import sys

import uvloop
import websockets.asyncio.server as websockets_server
from aiohttp import web


async def lines() -> asyncio.StreamReader:
    """Standard input."""
    reader = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def serve_aiohttp(port: int) -> None:
    """A loop of `send_str` over all sockets."""
    sockets: set[web.WebSocketResponse] = set()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.add(socket)
        async for _ in socket:
            pass
        sockets.discard(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4_096).start()
    reader = await lines()
    while line := (await reader.readline()).decode().rstrip("\n"):
        for socket in tuple(sockets):
            await socket.send_str(line)


async def serve_websockets(port: int) -> None:
    """`broadcast` to all connections."""

    async def handle(connection: websockets_server.ServerConnection) -> None:
        await connection.wait_closed()

    async with websockets_server.serve(
        handle, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4_096
    ) as server:
        reader = await lines()
        while line := (await reader.readline()).decode().rstrip("\n"):
            websockets_server.broadcast(server.connections, line)


if __name__ == "__main__":
    serve = {"aiohttp": serve_aiohttp, "websockets": serve_websockets}[sys.argv[1]]
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(serve(int(sys.argv[2])))
