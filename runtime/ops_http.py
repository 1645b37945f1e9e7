"""The small HTTP server beside every process: /healthz (the loop runs), /readyz (it can do its work), /metrics.

Keep it on an internal address. `add_route` adds a service's own, such as the signing keys.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from runtime import metrics
from runtime.http_server import HttpServer
from runtime.logs import get_logger

log = get_logger(__name__)

CHECK_TIMEOUT_SECONDS = 2.0
BODY_MAX_BYTES = 64 * 1024

Check = Callable[[], Awaitable[bool]]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class OpsServer:
    """`ready` starts as False; `checks` are asked in addition, all at once, 2 s at most."""

    def __init__(self, *, host: str, port: int) -> None:
        self.ready = False
        self._checks: dict[str, Check] = {}
        self._routes: dict[str, Handler] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/{path:.*}", self._dispatch)
        self._server = HttpServer(app, host=host, port=port, grace_seconds=1.0)

    @property
    def port(self) -> int:
        return self._server.port

    def add_route(self, path: str, handler: Handler) -> None:
        """A GET route of the service's own, also while the server runs."""
        self._routes[path] = handler

    def add_check(self, name: str, check: Check) -> None:
        """A check that fails or raises makes /readyz answer 503."""
        self._checks[name] = check

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def _dispatch(self, request: web.Request) -> web.Response:
        handler = self._routes.get(request.path)
        return await handler(request) if handler else web.Response(status=404)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        outcomes = await asyncio.gather(*(_passes(check) for check in self._checks.values()))
        checks = dict(zip(self._checks, outcomes, strict=True))
        ready = self.ready and all(outcomes)
        return web.json_response({"ready": ready, "checks": checks}, status=200 if ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            return await check()
    except Exception as error:  # whatever it raises, the answer is "not ready", and the log says why
        log.warning("a readiness check failed", error=type(error).__name__)
        return False
