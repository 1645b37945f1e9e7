"""An aiohttp application on a port, with the limits aiohttp leaves open set."""

from aiohttp import web

from runtime.ports import free_port

# How long a connection may stay without a whole request: between two, and for the first one's headers.
IDLE_SECONDS = 30.0  # aiohttp's own default is an hour
HEADERS_MAX_BYTES = 16 * 1024


class HttpServer:
    """`port` 0 takes a free one, which `port` then tells. Body limits are the application's."""

    def __init__(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        grace_seconds: float = 5.0,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.port = port or free_port(host)
        self._host = host
        self._grace_seconds = grace_seconds
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=idle_seconds,
            max_field_size=HEADERS_MAX_BYTES,
            max_line_size=HEADERS_MAX_BYTES,
            shutdown_timeout=grace_seconds,
        )

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()

    async def stop(self) -> None:
        """Accept nothing new, let running requests end for the grace, then close the connections."""
        await self._runner.cleanup()
