"""An aiohttp application on a port, with the limits aiohttp leaves open set, and aiohttp's own words kept from
clients: what is no request, and what a handler lets through, is answered with a problem document too.
"""

import asyncio

import orjson
from aiohttp import web

from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger
from runtime.ports import free_port
from runtime.surprises import as_api_error
from runtime.tracing import begin_request, current_trace_id

log = get_logger(__name__)

# How long a connection may stay without a whole request: between two, and for the first one's headers.
IDLE_SECONDS = 30.0  # aiohttp's own default is an hour
HEADERS_MAX_BYTES = 16 * 1024


class HttpServer:
    """`port` 0 takes a free one, which `port` then tells. Body limits are the application's.

    `connections_max`: one more is closed at once. None: as many as the process may have files.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        grace_seconds: float = 5.0,
        idle_seconds: float = IDLE_SECONDS,
        connections_max: int | None = None,
    ) -> None:
        self.port = port or free_port(host)
        self._host = host
        self._grace_seconds = grace_seconds
        self._runner = _Runner(
            app,
            access_log=None,
            # What unpacks a body nobody asked for may be a bomb; who wants packed bodies unpacks them within a bound.
            auto_decompress=False,
            keepalive_timeout=idle_seconds,
            max_field_size=HEADERS_MAX_BYTES,
            max_line_size=HEADERS_MAX_BYTES,
            shutdown_timeout=grace_seconds,
        )
        self._runner.connections_max = connections_max

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()

    async def stop(self) -> None:
        """Accept nothing new, let running requests end for the grace, then close the connections."""
        await self._runner.cleanup()


class _Connection(web.RequestHandler):
    """aiohttp would answer with its exception's text, and log each time a stack that any client can cause."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500 and exc is not None:
            error = as_api_error(exc)
        else:
            begin_request("no request", {}).end()
            log.info("not a request of HTTP", peer=request.remote, error=type(exc).__name__)
            error = ApiError(ErrorCode.MALFORMED_REQUEST)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(
            body=orjson.dumps(error.problem(current_trace_id())),
            status=error.code.http_status,
            content_type="application/problem+json",
        )
        response.force_close()
        return response


class _Server(web.Server):
    """Makes our kind of connection, up to a number."""

    connections_max: int | None = None

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self.connections_max is not None and len(self.connections) > self.connections_max:
            transport.abort()

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """aiohttp has no setting for the class of its server."""

    connections_max: int | None = None

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        assert isinstance(server, _Server)
        server.connections_max = self.connections_max
        return server
