"""The public REST API as the launcher uses it: log in, markets, orders, grants."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import aiohttp

TIMEOUT_SECONDS = 15.0


class RestError(Exception):
    """An answer other than 2xx; `code` is the stable one of the problem document."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if code else f"HTTP {status}")
        self.status = status
        self.code = code


class RestClient:
    """One user's view of the API. Use as an async context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        self._token: str | None = None

    async def __aenter__(self) -> "RestClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def authorization(self) -> str:
        """The header of who is logged in."""
        assert self._token is not None
        return f"Bearer {self._token}"

    async def log_in(self, email: str, password: str) -> None:
        answer = await self.post("/v1/auth/login", {"email": email, "password": password})
        self._token = answer["access_token"]

    async def register(self, email: str, password: str, display_name: str) -> None:
        body = {"email": email, "password": password, "display_name": display_name}
        answer = await self.post("/v1/auth/register", body)
        if "access_token" in answer:
            self._token = answer["access_token"]
        else:
            await self.log_in(email, password)

    async def get(self, path: str, **query: str) -> Any:
        return await self._send("GET", path, query=query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A write, under an idempotency key of its own."""
        return await self._send("POST", path, body=body or {})

    async def delete(self, path: str, **query: str) -> Any:
        return await self._send("DELETE", path, query=query)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        headers = {} if method == "GET" else {"Idempotency-Key": str(uuid.uuid4())}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        async with self._session.request(
            method, f"{self._url}{path}", params=query, json=body, headers=headers
        ) as answer:
            document = _parsed(await answer.read())
            if answer.status >= 400:
                problem = document if isinstance(document, dict) else {}
                raise RestError(answer.status, str(problem.get("code", "")), str(problem.get("detail", "")))
            return document


def _parsed(body: bytes) -> Any:
    """None for an empty body, or one that is not JSON (a proxy's error page)."""
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


async def retried(work: Any, *, seconds: float) -> Any:
    """Await `work()` again while the services are still finding each other (503, connection refused)."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await work()
        except (RestError, aiohttp.ClientError, TimeoutError) as error:
            passing = not isinstance(error, RestError) or error.status in (429, 503, 504)
            if not passing or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.25)
