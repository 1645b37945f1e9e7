"""A call: the request with its credentials and key, repeated as the policy allows, its answer decoded."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from predmarket_client.credentials import Credentials
from predmarket_client.errors import ApiError, FieldError, NoAnswer, PredmarketError, ProtocolError
from predmarket_client.retries import RetryPolicy, may_repeat
from predmarket_client.transport import HttpTransport, Reply, Request

T = TypeVar("T")
Query = Mapping[str, str | int | bool | datetime | None]
_PROBLEM_NAMES = frozenset({"type", "title", "status", "detail", "code", "retryable", "trace_id", "errors"})
_RETRY_AFTER_MAX_SECONDS = 3_600.0


class Caller:
    """What the areas of the client send through."""

    def __init__(
        self,
        transport: HttpTransport,
        credentials: Credentials,
        retries: RetryPolicy,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.transport = transport
        self.credentials = credentials
        self._retries = retries
        self._chance = chance

    async def get(self, path: str, answer: type[T], *, query: Query | None = None) -> T:
        """A read."""
        return _decoded(await self.send("GET", path, query=query), answer)

    async def write(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        query: Query | None = None,
        body: Any = None,
        idempotency_key: str | None = None,
    ) -> T:
        """A write, under an idempotency key: yours, or a new one."""
        key = idempotency_key or new_key()
        return _decoded(await self.send(method, path, query=query, body=body, key=key), answer)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        key: str | None = None,
        anonymous: bool = False,
        retries: RetryPolicy | None = None,
    ) -> Reply:
        """The reply, when it is 2xx. Raises ApiError, NoAnswer."""
        policy = retries or self._retries
        content = None if body is None else msgspec.json.encode(body)
        started = time.monotonic()
        attempt, renewed = 0, False
        while True:
            attempt += 1
            header = None if anonymous else await self.credentials.authorization()
            request = Request(method, path, _texts(query), _headers(header, key, content), content)
            try:
                return await self._once(request, policy, started)
            except ApiError as error:
                if error.status == 401 and header is not None and not renewed:
                    renewed = await self.credentials.renew(header)
                    if renewed:
                        attempt -= 1
                        continue
                if not may_repeat(error.status, error.retryable):
                    raise
                failure: PredmarketError = error
                retry_after_seconds = error.retry_after_seconds
            except NoAnswer as error:
                failure, retry_after_seconds = NoAnswer(str(error), idempotency_key=key), None
            wait = policy.wait_seconds(
                attempt=attempt,
                elapsed_seconds=time.monotonic() - started,
                retry_after_seconds=retry_after_seconds,
                chance=self._chance(),
            )
            if wait is None:
                raise failure
            await asyncio.sleep(wait)

    async def _once(self, request: Request, policy: RetryPolicy, started: float) -> Reply:
        left_seconds = policy.total_seconds - (time.monotonic() - started)
        reply = await self.transport.send(
            request, seconds=max(0.001, min(policy.attempt_seconds, left_seconds))
        )
        if not 200 <= reply.status < 300:
            raise refusal_of(reply)
        return reply


def new_key() -> str:
    """An idempotency key nobody has used."""
    return str(uuid.uuid4())


def refusal_of(reply: Reply) -> ApiError:
    """The problem document of an answer; of a proxy's page, its status."""
    try:
        document = msgspec.json.decode(reply.body, type=dict[str, Any])
    except msgspec.DecodeError:
        document = {}
    return ApiError(
        str(document.get("code") or f"HTTP_{reply.status}"),
        str(document.get("detail", "")),
        status=reply.status,
        fields=_fields(document.get("errors")),
        trace_id=str(document.get("trace_id", "")),
        retryable=document.get("retryable") is True,
        retry_after_seconds=_retry_after(reply.headers.get("Retry-After")),
        details={name: value for name, value in document.items() if name not in _PROBLEM_NAMES},
    )


def _fields(errors: Any) -> tuple[FieldError, ...]:
    if not isinstance(errors, list):
        return ()
    rows = [row for row in errors if isinstance(row, dict)]
    return tuple(FieldError(str(row.get("pointer", "")), str(row.get("detail", ""))) for row in rows)


def _retry_after(text: str | None) -> float | None:
    """Seconds; a date or nonsense counts as none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return min(float(text), _RETRY_AFTER_MAX_SECONDS)


def _headers(authorization: str | None, key: str | None, content: bytes | None) -> dict[str, str]:
    headers = {"Accept": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    if key is not None:
        headers["Idempotency-Key"] = key
    if content is not None:
        headers["Content-Type"] = "application/json"
    return headers


def _texts(query: Query | None) -> dict[str, str]:
    """Parameters that are None are left out."""
    return {name: _text(value) for name, value in (query or {}).items() if value is not None}


def _text(value: str | int | bool | datetime) -> str:
    """Raises ValueError for a time without a time zone: nobody knows which moment that is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs a time zone, such as datetime.now(UTC)")
        return value.isoformat()
    return str(value)


def _decoded(reply: Reply, answer: type[T]) -> T:
    if answer is type(None):
        return None
    return decode(reply.body, answer)


def decode(body: bytes, answer: type[T]) -> T:
    """Raises ProtocolError."""
    try:
        return msgspec.json.decode(body, type=answer)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the answer is not a {answer}: {error}") from error
