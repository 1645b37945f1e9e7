"""`python -m tests.analytics.clickhouse_server FOLDER PORT`: the embedded engine behind ClickHouse's HTTP interface.

What a server does for clickhouse-connect, as far as analytics uses it, so that it can be killed and started like one.
Statements run in as many threads as come; an answer is given when the engine has done it.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import clickhouse_connect
import lz4.frame
from aiohttp import web
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

THREADS = 8
BODY_MAX_BYTES = 1 << 30
NOT_SETTINGS = re.compile(
    r"database|query|query_id|compress|decompress|session_.*|param_.*|client_protocol_version|"
    r"wait_end_of_query|buffer_size|http_headers_.*|send_progress_.*|enable_http_compression|role|user|password"
)
INSERT = re.compile(rb"INSERT INTO\s+(.+?)\s*\(([^)]*)\)\s+FORMAT Native\n", re.DOTALL)


class Server:
    """One engine, a client per thread."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(THREADS)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "lz4":
            body = lz4.frame.decompress(body)
        query = dict(request.query)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._do, query, body)
        except DatabaseError as error:
            code = str(getattr(error, "code", None) or 1)
            return web.Response(status=500, text=str(error), headers={"X-ClickHouse-Exception-Code": code})
        return web.Response(body=found, headers={"X-ClickHouse-Format": "Native"})

    def _do(self, query: dict[str, str], body: bytes) -> bytes:
        # A reader's settings stay with its connection to the engine, so writers have another.
        client = self._client("readers" if "readonly" in query else "writers")
        database = query.get("database") or "default"
        if client.database != database:
            client.database = database
        if insert := INSERT.match(body):
            names = [name.strip("` ") for name in insert[2].decode().split(",")]
            client.raw_insert(insert[1].decode(), names, body[insert.end() :], fmt="Native")
            return b""
        sql = query.get("query") or body.decode()
        settings: dict[str, Any] = {
            name: value for name, value in query.items() if not NOT_SETTINGS.fullmatch(name)
        }
        parameters = {name: value for name, value in query.items() if name.startswith("param_")}
        return client.raw_query(sql, settings={**settings, **parameters})

    def _client(self, whose: str) -> Client:
        if not hasattr(self._own, whose):
            setattr(self._own, whose, clickhouse_connect.get_client(dsn=f"chdb://{self._folder}"))
        client: Client = getattr(self._own, whose)
        return client


def main() -> None:
    """Until killed."""
    folder, port = sys.argv[1:]
    server = Server(folder)
    app = web.Application(client_max_size=BODY_MAX_BYTES)
    app.router.add_route("*", "/{path:.*}", server.answer)
    web.run_app(app, host="127.0.0.1", port=int(port), print=None)


if __name__ == "__main__":
    main()
