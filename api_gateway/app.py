"""The HTTP side: from a request to a `Call`, from an `Answer` or a refusal to a response. Knows no route by name."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import Counter

from api_gateway.browsers import Browsers, Visit
from api_gateway.clients import Clients
from api_gateway.cors import Cors
from api_gateway.deadlines import Deadlines
from api_gateway.metrics import REQUEST_SECONDS, REQUESTS
from api_gateway.peers import Peers
from api_gateway.routing import Access, Answer, Call, Limits, Refused, Route
from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.surprises import as_api_error
from runtime.tokens import Identity, TokenVerifier
from runtime.tracing import begin_request, current_request_id, current_trace_id

BODY_MAX_BYTES = 64 * 1024
QUERY_VALUE_MAX_CHARACTERS = 4_000
USER_AGENT_MAX_CHARACTERS = 200
RETRY_AFTER_SECONDS = "1"
CORS_METHODS = "GET, POST, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-CSRF-Token, X-Request-Id"
EXPOSED_HEADERS = (
    "ETag, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, Allow, X-Request-Id, "
    "WWW-Authenticate"
)
_KEY = re.compile(r"[\x21-\x7e]{1,190}")  # with an item's number it stays within 200
_SAFE_METHODS = frozenset({"GET"})
_ALWAYS = {"Server": "predmarket", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class Edge:
    """What every request needs."""

    clients: Clients
    verifier: TokenVerifier
    request_seconds: float
    deadlines: Deadlines
    limits: Limits
    browsers: Browsers
    peers: Peers
    cors: Cors


def make_app(
    edge: Edge, routes: Sequence[Route], *others: Callable[[web.Application], None]
) -> web.Application:
    """Whatever is not a route of the list, and not added by `others`, is refused."""
    app = web.Application(client_max_size=BODY_MAX_BYTES)
    for route in routes:
        # aiohttp's own pattern leaves out braces; what an id may look like, the handler says.
        path = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", route.path)
        app.router.add_route(route.method, path, _endpoint(edge, route))
    for add_to in others:
        add_to(app)
    app.router.add_route("*", "/{unknown:.*}", _unknown(edge.cors, routes))
    return app


def _endpoint(edge: Edge, route: Route) -> Any:
    name = f"{route.method} {route.path}"
    seconds = REQUEST_SECONDS.labels(route.path)
    counters: dict[int, Counter] = {}
    """By status; looked up once, because it takes longer than counting."""

    async def handle(request: web.Request) -> web.Response:
        started = time.monotonic()
        span = begin_request(name, request.headers, remaining_seconds=edge.request_seconds)
        try:
            response = await _answered(edge, route, request)
        finally:
            span.end()
        counter = counters.get(response.status)
        if counter is None:
            counter = counters[response.status] = REQUESTS.labels(
                route.method, route.path, str(response.status)
            )
        counter.inc()
        seconds.observe(time.monotonic() - started)
        return response

    return handle


def _unknown(cors: Cors, routes: Sequence[Route]) -> Any:
    """404, or 405 where the path is one of ours; what a browser asks before a call is answered."""
    methods: dict[str, list[str]] = {}
    for route in routes:
        methods.setdefault(re.sub(r"\{\w+\}", "[^/]+", route.path), []).append(route.method)

    async def handle(request: web.Request) -> web.Response:
        begin_request("unknown", request.headers).end()
        for pattern, allowed in methods.items():
            if re.fullmatch(pattern, request.path):
                if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                    return _preflight(cors, request)
                response = _problem(ApiError(ErrorCode.METHOD_NOT_ALLOWED))
                response.headers["Allow"] = ", ".join(sorted(allowed))
                return response
        return _problem(ApiError(ErrorCode.NOT_FOUND))

    return handle


def _preflight(cors: Cors, request: web.Request) -> web.Response:
    allowed = cors.preflight(
        request.headers.get("Origin"), methods=CORS_METHODS, allowed=ALLOWED_HEADERS, credentials=True
    )
    return web.Response(status=204, headers={**_ALWAYS, "Cache-Control": "no-store", **allowed})


async def _answered(edge: Edge, route: Route, request: web.Request) -> web.Response:
    visit = Visit(edge.browsers, request)
    try:
        with edge.deadlines.within(edge.request_seconds):
            call = await _call(edge, route, request, visit)
            headers = await edge.limits.admit(call, route)
            answer = await route.handler(call)
        response = _response(route, request, answer, headers)
    except TimeoutError:
        response = _problem(ApiError(ErrorCode.DEADLINE_EXCEEDED))
    except web.HTTPRequestEntityTooLarge:
        response = _problem(ApiError(ErrorCode.PAYLOAD_TOO_LARGE))
    except (web.HTTPException, web.RequestPayloadError):
        response = _problem(ApiError(ErrorCode.MALFORMED_REQUEST))
    except Exception as error:  # the one place where surprises end; as_api_error logs them
        response = _problem(as_api_error(error))
    for cookie in visit.set_cookies:
        response.headers.add("Set-Cookie", cookie)
    if "Origin" in request.headers:
        _add_cors(edge.cors, request, response)
    return response


def _add_cors(cors: Cors, request: web.Request, response: web.Response) -> None:
    origin = request.headers.get("Origin")
    response.headers.update(cors.headers(origin, exposed=EXPOSED_HEADERS, credentials=True))
    response.headers["Vary"] = "Authorization, Cookie, Origin"


async def _call(edge: Edge, route: Route, request: web.Request, visit: Visit) -> Call:
    """Who calls is settled before the body is read."""
    authorization, identity = await _credential(edge.verifier, route, request, visit)
    return Call(
        clients=edge.clients,
        route=route,
        parameters=request.match_info,
        query=_query(request),
        body=b"" if request.method in _SAFE_METHODS else await _body(request),
        idempotency_key=_idempotency_key(request),
        user_agent=request.headers.get("User-Agent", "")[:USER_AGENT_MAX_CHARACTERS],
        authorization=authorization,
        identity=identity,
        client_address=edge.peers.address(request),
        visit=visit,
    )


async def _credential(
    verifier: TokenVerifier, route: Route, request: web.Request, visit: Visit
) -> tuple[str | None, Identity | None]:
    """What goes on to the services, and who it is. Cookies are looked at only without `Authorization`."""
    authorization = _single(request, "Authorization")
    if route.access is Access.OPEN:
        return authorization, None  # a stale token must not stop anybody from logging in
    if authorization is not None:
        identity: Identity | None = await verifier.identity(authorization)
    else:
        authorization, identity = await _by_cookies(verifier, route, visit)
    if identity is None:
        if route.access is Access.PUBLIC:
            return None, None
        raise ApiError(ErrorCode.UNAUTHENTICATED)
    if route.access is Access.ADMIN:
        identity.require("admin")
    if route.scope is not None:
        route.scope.check(identity)
    return authorization, identity


async def _by_cookies(
    verifier: TokenVerifier, route: Route, visit: Visit
) -> tuple[str | None, Identity | None]:
    """Of a session that cannot be renewed nothing is left: who may read without one, reads on."""
    session = visit.session()
    if session is None:
        return None, None
    if session.access_token:
        try:
            authorization = f"Bearer {session.access_token}"
            return authorization, await verifier.identity(authorization)
        except ApiError as error:
            if error.code is not ErrorCode.UNAUTHENTICATED:
                raise
    try:
        authorization = f"Bearer {await visit.renew(session)}"
    except ApiError as error:
        if error.code is ErrorCode.REFRESH_TOKEN_INVALID:
            return None, None
        raise
    return authorization, await verifier.identity(authorization)


def _single(request: web.Request, name: str) -> str | None:
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise ApiError(ErrorCode.MALFORMED_REQUEST, f"the header {name} came more than once")
    return values[0] if values else None


def _idempotency_key(request: web.Request) -> str:
    key = _single(request, "Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise ApiError(
            ErrorCode.INVALID_ARGUMENT, "Idempotency-Key is 1..190 printable ASCII characters without spaces"
        )
    return key or ""


def _query(request: web.Request) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if "?" not in request.raw_path:  # most requests: nothing to parse
        return found
    for name, value in request.query.items():
        if name in found:
            raise ApiError(ErrorCode.INVALID_ARGUMENT, fields=[FieldError(f"/{name[:100]}", "given twice")])
        if len(value) > QUERY_VALUE_MAX_CHARACTERS or "\x00" in value or not _is_text(value):
            raise ApiError(ErrorCode.INVALID_ARGUMENT, fields=[FieldError(f"/{name[:100]}", "not accepted")])
        found[name] = value
    return found


def _is_text(value: str) -> bool:
    """No lone surrogates, which undecodable escapes leave behind."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


async def _body(request: web.Request) -> bytes:
    if not request.body_exists:
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE)
    if request.content_length is not None and request.content_length > BODY_MAX_BYTES:
        raise ApiError(ErrorCode.PAYLOAD_TOO_LARGE)
    body = await request.read()
    if body and request.content_type != "application/json":
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE)
    return body


def _response(
    route: Route, request: web.Request, answer: Answer, limit_headers: Mapping[str, str]
) -> web.Response:
    headers = {**_ALWAYS, **limit_headers, **answer.headers, "X-Request-Id": current_request_id()}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    body = _bytes(answer.body)
    # An administrator's view of a DRAFT is not for caches.
    is_public = (
        route.access is Access.PUBLIC
        and route.method == "GET"
        and "Authorization" not in request.headers
        and "Cookie" not in request.headers
    )
    headers["Cache-Control"] = _public_age(answer) if is_public else "no-store"
    if route.access is Access.PUBLIC:
        headers["Vary"] = "Authorization, Cookie"
    if is_public and answer.status == 200:
        headers["ETag"] = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        if _is_known(request.headers.get("If-None-Match", ""), headers["ETag"]):
            return web.Response(status=304, headers=headers)
    if answer.body is None:
        return web.Response(status=answer.status, headers=headers)
    charset = "; charset=utf-8" if answer.content_type.startswith("text/") else ""
    headers["Content-Type"] = answer.content_type + charset
    return web.Response(body=body, status=answer.status, headers=headers)


def _public_age(answer: Answer) -> str:
    return f"public, max-age={answer.max_age_seconds}" if answer.max_age_seconds else "public, no-cache"


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else orjson.dumps(body)


def _is_known(condition: str, tag: str) -> bool:
    return condition.strip() == "*" or tag in {
        item.strip().removeprefix("W/") for item in condition.split(",")
    }


def _problem(error: ApiError) -> web.Response:
    headers = {**_ALWAYS, "Cache-Control": "no-store", "X-Request-Id": current_request_id()}
    if error.code.http_status in (429, 503):
        headers["Retry-After"] = _retry_after_seconds(error)
    if error.code.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Refused):
        headers.update(error.headers)
    return web.Response(
        body=orjson.dumps(error.problem(current_trace_id())),
        status=error.code.http_status,
        headers=headers,
        content_type="application/problem+json",
    )


def _retry_after_seconds(error: ApiError) -> str:
    """Whole seconds, rounded up: coming back too early helps nobody."""
    milliseconds = error.details.get("retry_after_ms", "")
    return str(max(1, -(-int(milliseconds) // 1_000))) if milliseconds.isdecimal() else RETRY_AFTER_SECONDS
