"""The issuer's published signing keys (JWKS, RFC 7517): fetched at first use, again every minute and when a key is
unknown, and kept while the issuer is away.
"""

import asyncio
import contextvars
import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import jwt
from jwt.algorithms import OKPAlgorithm

from runtime import metrics
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger

log = get_logger(__name__)

REFETCH_MIN_SECONDS: Final = 5.0  # an unknown kid asks for the keys again, but not more often than this
REFRESH_SECONDS: Final = 60.0
"""Keys taken out of the set are forgotten after this, and new ones known: an issuer publishes a key longer than that
before it signs, so that a token with an unknown kid is nobody's."""
FETCH_TIMEOUT_SECONDS: Final = 3.0
JWKS_MAX_BYTES: Final = 64 * 1024


class PublishedKeys:
    """The keys at a URL. `generation` rises whenever one was taken away: what it verified is to be verified anew."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, Any] = {}
        self._fetched_at: float | None = None
        self._attempted_at: float | None = None
        self._has_failed = False
        self._fetching: asyncio.Task[None] | None = None
        self.generation = 0

    async def key(self, key_id: str) -> Any:
        """Raises UNAUTHENTICATED for an unknown one, or UNAVAILABLE when the issuer could not be asked about it."""
        if key_id not in self._keys and self._may_attempt():
            await self._fetch()
        if key_id in self._keys:
            return self._keys[key_id]
        if self._fetched_at is None or self._has_failed:
            raise ApiError(ErrorCode.UNAVAILABLE, "the signing keys could not be fetched")
        raise ApiError(ErrorCode.UNAUTHENTICATED)

    def refresh_in_background(self) -> None:
        """Begins a fetch when the last one is old."""
        is_old = self._fetched_at is not None and self._since(self._fetched_at) >= REFRESH_SECONDS
        if is_old and self._may_attempt():
            self._begin_fetch()

    async def close(self) -> None:
        """Ends a fetch that still runs."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _may_attempt(self) -> bool:
        if self._fetching is not None and not self._fetching.done():
            return True  # join the fetch under way
        if self._attempted_at is None or self._fetched_at is None:
            return self._attempted_at is None or self._since(self._attempted_at) >= 0.2
        return self._since(self._attempted_at) >= REFETCH_MIN_SECONDS

    def _begin_fetch(self) -> "asyncio.Task[None]":
        if self._fetching is None or self._fetching.done():
            self._attempted_at = self._clock.monotonic_seconds()
            self._fetching = asyncio.create_task(
                self._fetch_once(), name="jwks", context=contextvars.Context()
            )
        return self._fetching

    async def _fetch(self) -> None:
        # Shielded: the caller that asked first may give up, others wait for the same answer.
        await asyncio.shield(self._begin_fetch())

    async def _fetch_once(self) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._url) as answer,
            ):
                if answer.status != 200:
                    raise ValueError(f"status {answer.status}")
                keys = parse_jwks(await answer.content.read(JWKS_MAX_BYTES))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            metrics.JWKS_FETCHES.labels("failed").inc()
            log.warning("the signing keys could not be fetched", error=str(error))
            self._has_failed = True
            return
        if any(key_id not in keys for key_id in self._keys):
            self.generation += 1
        self._keys = keys
        self._fetched_at = self._clock.monotonic_seconds()
        self._has_failed = False
        metrics.JWKS_FETCHES.labels("fetched").inc()

    def _since(self, moment: float) -> float:
        return self._clock.monotonic_seconds() - moment


def parse_jwks(body: bytes) -> dict[str, Any]:
    """The Ed25519 signing keys of a JWKS document, by kid. Other keys are left out. Raises ValueError."""
    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS document")
    keys: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, dict) and entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519":
            public = {"kty": "OKP", "crv": "Ed25519", "x": entry.get("x")}
            keys[str(entry.get("kid"))] = _public_key(public)
    return keys


def _public_key(entry: dict[str, Any]) -> Any:
    try:
        return OKPAlgorithm.from_jwk(entry)
    except jwt.PyJWTError as error:
        raise ValueError("not an Ed25519 key") from error
