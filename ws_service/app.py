"""GET /ws/v1: who is let in, and the session that follows."""

from urllib.parse import urlsplit

import orjson
from aiohttp import web

from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.tracing import begin_request, current_trace_id
from ws_service.hub import Hub
from ws_service.session import MESSAGE_MAX_BYTES, PROTOCOL, Session
from ws_service.settings import WsSettings
from ws_service.socket import Socket, transport_of

PATH = "/ws/v1"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


def make_app(hub: Hub, settings: WsSettings, clock: Clock) -> web.Application:
    """One route."""
    allowed = frozenset(origin.strip() for origin in settings.allowed_origins.split(",") if origin.strip())

    async def handle(request: web.Request) -> web.StreamResponse:
        begin_request(PATH, {name.lower(): value for name, value in request.headers.items()}).end()
        refusal = _refusal(request, hub, settings, allowed)
        if refusal is not None:
            return _problem(refusal)
        return await _serve(request, hub, settings, clock)

    app = web.Application()
    app.router.add_get(PATH, handle, allow_head=False)
    return app


def _refusal(
    request: web.Request, hub: Hub, settings: WsSettings, allowed: frozenset[str]
) -> ApiError | None:
    """Decided before the upgrade, so that a browser's page and a proxy see a status."""
    origin = request.headers.get("Origin")
    if origin is not None and not _is_allowed(origin, allowed):
        return ApiError(ErrorCode.FORBIDDEN, "this Origin is not on the list")
    if hub.is_draining or len(hub.sockets) >= settings.sockets_max:
        return ApiError(ErrorCode.OVERLOADED)
    offered = request.headers.get("Sec-WebSocket-Protocol")
    if offered is not None and PROTOCOL not in {name.strip() for name in offered.split(",")}:
        return ApiError(ErrorCode.MALFORMED_REQUEST, f"the subprotocol is {PROTOCOL}")
    if not web.WebSocketResponse(protocols=(PROTOCOL,)).can_prepare(request).ok:
        return ApiError(ErrorCode.MALFORMED_REQUEST, "a WebSocket handshake is expected")
    return None


def _is_allowed(origin: str, allowed: frozenset[str]) -> bool:
    if allowed:
        return origin in allowed
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    host = parts.netloc.rsplit(":", 1)[0] if not parts.netloc.endswith("]") else parts.netloc
    return parts.scheme in ("http", "https") and host in LOCAL_HOSTS


async def _serve(request: web.Request, hub: Hub, settings: WsSettings, clock: Clock) -> web.StreamResponse:
    # Uncompressed, so that one frame serves every socket; pings are answered by the session, which counts them.
    response = web.WebSocketResponse(
        protocols=(PROTOCOL,), compress=False, max_msg_size=MESSAGE_MAX_BYTES, autoping=False
    )
    await response.prepare(request)
    socket = Socket(response, transport_of(request))
    hub.add(socket)
    try:
        await Session(hub, socket, response, settings, clock).run()
    finally:
        socket.gone()
        hub.remove(socket)
    return response


def _problem(error: ApiError) -> web.Response:
    headers = {"Retry-After": "1"} if error.code.http_status == 503 else {}
    return web.Response(
        body=orjson.dumps(error.problem(current_trace_id())),
        status=error.code.http_status,
        headers=headers,
        content_type="application/problem+json",
    )
