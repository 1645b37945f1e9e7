"""GET /ws/v1: who is let in, and the session that follows."""

from urllib.parse import urlsplit

import orjson
from aiohttp import web

from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity
from runtime.surprises import as_api_error
from runtime.tracing import begin_request, current_trace_id
from ws_service.access import Access, api_key_of
from ws_service.hub import Hub
from ws_service.session import MESSAGE_MAX_BYTES, PROTOCOL, Session
from ws_service.settings import WsSettings
from ws_service.socket import CLOSE_INTERNAL, CLOSE_TRY_LATER, Backlog, Socket, transport_of

PATH = "/ws/v1"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class Door:
    """Lets clients in."""

    def __init__(
        self, hub: Hub, access: Access, backlog: Backlog, settings: WsSettings, clock: Clock
    ) -> None:
        self._hub = hub
        self._access = access
        self._backlog = backlog
        self._settings = settings
        self._clock = clock
        self._allowed = frozenset(
            origin.strip() for origin in settings.allowed_origins.split(",") if origin.strip()
        )

    def app(self) -> web.Application:
        """One route."""
        app = web.Application()
        app.router.add_get(PATH, self._handle, allow_head=False)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        begin_request(PATH, {name.lower(): value for name, value in request.headers.items()}).end()
        try:
            self._check(request)
            identity = await self._identity(request)
        except Exception as error:  # before the upgrade a browser's page and a proxy see a status
            return _problem(as_api_error(error))
        return await self._serve(request, identity)

    def _check(self, request: web.Request) -> None:
        """Raises ApiError."""
        origin = request.headers.get("Origin")
        if origin is not None and not _is_allowed(origin, self._allowed):
            raise ApiError(ErrorCode.FORBIDDEN, "this Origin is not on the list")
        if self._hub.is_draining or len(self._hub.sockets) >= self._settings.sockets_max:
            raise ApiError(ErrorCode.OVERLOADED)
        offered = request.headers.get("Sec-WebSocket-Protocol")
        if offered is not None and PROTOCOL not in {name.strip() for name in offered.split(",")}:
            raise ApiError(ErrorCode.MALFORMED_REQUEST, f"the subprotocol is {PROTOCOL}")
        if not web.WebSocketResponse(protocols=(PROTOCOL,)).can_prepare(request).ok:
            raise ApiError(ErrorCode.MALFORMED_REQUEST, "a WebSocket handshake is expected")

    async def _identity(self, request: web.Request) -> Identity | None:
        """Of a client that says who it is at once. Raises ApiError."""
        values = request.headers.getall("Authorization", [])
        if len(values) > 1:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return await self._access.of_header(values[0]) if values else None

    async def _serve(self, request: web.Request, identity: Identity | None) -> web.StreamResponse:
        # Uncompressed, so that one frame serves every socket; pings are answered by the session, which counts them.
        response = web.WebSocketResponse(
            protocols=(PROTOCOL,), compress=False, max_msg_size=MESSAGE_MAX_BYTES, autoping=False
        )
        await response.prepare(request)
        socket = Socket(response, transport_of(request), self._backlog)
        if identity is not None:
            socket.identity = identity
            socket.api_key = api_key_of(request.headers["Authorization"])
        if self._hub.is_draining:  # since the look before the upgrade
            socket.close(CLOSE_TRY_LATER, "try again later")
            await socket.closed()
            return response
        self._hub.add(socket)
        try:
            await Session(self._hub, self._access, socket, response, self._settings, self._clock).run()
        except Exception as error:  # a defect of ours: the client is told to come back, and not left waiting
            as_api_error(error)  # logs it
            socket.close(CLOSE_INTERNAL, "internal error")
            await socket.closed()
        finally:
            socket.gone()
            self._hub.remove(socket)
        return response


def _is_allowed(origin: str, allowed: frozenset[str]) -> bool:
    if allowed:
        return origin in allowed
    try:
        parts = urlsplit(origin)
        is_local = parts.hostname in LOCAL_HOSTS and "@" not in parts.netloc
        return parts.scheme in ("http", "https") and is_local
    except ValueError:
        return False


def _problem(error: ApiError) -> web.Response:
    headers = {"Retry-After": "1"} if error.code.http_status == 503 else {}
    return web.Response(
        body=orjson.dumps(error.problem(current_trace_id())),
        status=error.code.http_status,
        headers=headers,
        content_type="application/problem+json",
    )
