"""ClickHouse's HTTP interface over the embedded engine, for analysts and administrators, to read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from analytics.analysts import access, metrics, requests, sessions
from analytics.analysts.queries import GRACE_SECONDS, Queries
from analytics.analysts.refusals import AWAY, CANCELLED, DENIED, TOO_SLOW, UNAUTHENTICATED, Refused
from analytics.analysts.rules import Rules
from analytics.analysts.sessions import Answer, Bounds
from analytics.analysts.turns import TurnLimits, Turns
from analytics.clickhouse import ClickHouse
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.identity import READ, Identity
from runtime.logs import get_logger
from runtime.tokens import TokenVerifier

log = get_logger(__name__)

ROLES: Final = ("analyst", "admin")
BODY_MAX_BYTES: Final = 1024 * 1024
RIGHT_SECONDS: Final = 1.0
"""How often we look whether whoever asked may still ask."""

TRANSFER_SECONDS: Final = 60.0
"""A question has to be here by then, and an answer there: both are in memory until then."""
CHUNK_BYTES: Final = 256 * 1024

_TYPES: Final = (
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8"),
    ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSON", "application/json; charset=UTF-8"),
    ("XML", "application/xml; charset=UTF-8"),
    ("Pretty", "text/plain; charset=UTF-8"),
    ("Vertical", "text/plain; charset=UTF-8"),
    ("Markdown", "text/markdown; charset=UTF-8"),
)


class Endpoint:
    """`await endpoint.prepare()` once before it answers; `close()` ends what runs."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        verifier: TokenVerifier,
        *,
        bounds: Bounds,
        turns: TurnLimits,
        clock: Clock,
        transfer_seconds: float = TRANSFER_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._clickhouse = clickhouse
        self._verifier = verifier
        self._turns = Turns(turns, clock)
        self._queries = Queries(clickhouse, bounds=bounds, turns=self._turns, grace_seconds=grace_seconds)
        self._transfer_seconds = transfer_seconds
        self._rules: Rules | None = None

    async def prepare(self) -> None:
        """Makes the views, and learns which functions there are."""
        await access.apply(self._clickhouse)
        tables = self._clickhouse.place.database
        functions = await self._clickhouse.embedded_session(sessions.open_functions)
        self._rules = Rules(access.database_of(tables), tables, functions)

    async def close(self) -> None:
        """What runs is ended: its sender gets an error."""
        await self._queries.close()

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/ping", _ping)
        app.router.add_route("GET", "/", self._handle)
        app.router.add_route("POST", "/", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query_id = requests.query_id(request)
        if request.method == "GET" and not request.query_string:
            return await _ping(request)
        try:
            authorization = requests.authorization(request)
            identity = await self._identity(authorization)
            with self._turns.present(identity.user_id), metrics.PRESENT.track_inprogress():
                answer = await self._answer(request, query_id, authorization, identity.user_id)
                metrics.QUERIES.labels("0").inc()
                metrics.SECONDS.observe(answer.seconds)
                return await _sent(request, answer, query_id, self._transfer_seconds)
        except Refused as refused:
            metrics.QUERIES.labels(str(refused.code)).inc()
            return _refusal(refused, query_id)

    async def _answer(self, request: web.Request, query_id: str, authorization: str, user_id: str) -> Answer:
        assert self._rules is not None, "prepare() first"
        try:
            async with asyncio.timeout(self._transfer_seconds):
                question = await requests.question(request, self._rules.database)
        except TimeoutError:
            raise Refused(TOO_SLOW, "The question did not come in time.") from None
        except ConnectionError:
            raise Refused(CANCELLED, "The client has gone.") from None
        log.info("analyst asks", user_id=user_id, query_id=query_id, sql=question.sql[:2000])
        still_wanted = self._still_wanted(request, authorization)
        return await self._queries.answer(question, self._rules, user_id=user_id, still_wanted=still_wanted)

    def _still_wanted(self, request: web.Request, authorization: str) -> Callable[[], Awaitable[None]]:
        """What raises Refused when whoever asked has gone, or may not ask any more."""
        loop = asyncio.get_running_loop()
        right_until = loop.time() + RIGHT_SECONDS

        async def check() -> None:
            nonlocal right_until
            if request.transport is None or request.transport.is_closing():
                raise Refused(CANCELLED, "The client has gone.")
            if loop.time() >= right_until:
                await self._still_may(authorization)
                right_until = loop.time() + RIGHT_SECONDS

        return check

    async def _identity(self, authorization: str) -> Identity:
        """Raises Refused."""
        try:
            identity = await self._verifier.identity(authorization)
            identity.require(*ROLES)
            identity.require_scope(READ)
        except ApiError as error:
            raise _as_refused(error) from None
        return identity

    async def _still_may(self, authorization: str) -> None:
        """Away is no reason to end what was allowed."""
        try:
            await self._identity(authorization)
        except Refused as refused:
            if refused.code != AWAY:
                raise


def _as_refused(error: ApiError) -> Refused:
    if error.code is ErrorCode.UNAUTHENTICATED:
        return Refused(UNAUTHENTICATED, "Authentication failed: the token is wrong, or has expired.")
    if error.code is ErrorCode.FORBIDDEN:
        return Refused(
            DENIED, "Only analysts and administrators may ask, and an API key needs the scope read."
        )
    return Refused(AWAY, "Nobody can check the token just now.", retry_seconds=1)


async def _ping(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n", content_type="text/html")


async def _sent(
    request: web.Request, answer: Answer, query_id: str, seconds_max: float
) -> web.StreamResponse:
    """Returns when the client has it, or has gone. One that reads too slowly is cut off."""
    response = web.StreamResponse(headers=_answer_headers(answer, query_id))
    response.content_length = len(answer.body)
    body = memoryview(answer.body)
    try:
        async with asyncio.timeout(seconds_max):
            await response.prepare(request)
            for begin in range(0, len(body), CHUNK_BYTES):
                await response.write(body[begin : begin + CHUNK_BYTES])
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # it has gone
    return response


def _answer_headers(answer: Answer, query_id: str) -> dict[str, str]:
    summary = {
        "read_rows": str(answer.read_rows),
        "read_bytes": str(answer.read_bytes),
        "result_rows": str(answer.rows),
        "result_bytes": str(len(answer.body)),
        "elapsed_ns": str(int(answer.seconds * 1_000_000_000)),
    }
    return {
        **_headers(query_id),
        "X-ClickHouse-Format": answer.format,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": json.dumps(summary),
        "Content-Type": next(
            (kind for prefix, kind in _TYPES if answer.format.startswith(prefix)), "application/octet-stream"
        ),
    }


def _refusal(refused: Refused, query_id: str) -> web.Response:
    headers = {**_headers(query_id), "X-ClickHouse-Exception-Code": str(refused.code)}
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="analysts"'
    if refused.retry_seconds is not None:
        headers["Retry-After"] = str(refused.retry_seconds)
    return web.Response(text=f"{refused}\n", status=refused.status, headers=headers)


def _headers(query_id: str) -> dict[str, str]:
    return {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Server-Display-Name": "analytics",
        "Cache-Control": "no-store",
    }
