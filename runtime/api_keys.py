"""API keys: who one is, asked of auth_service and remembered for some seconds.

Concurrent questions about one key are one question. What is unknown is remembered too, apart from what is known,
so that a flood of wrong keys costs little and displaces no right one. Keys are remembered by their digest only.
"""

import asyncio
import contextvars
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

from runtime.clock import Clock
from runtime.credentials import Authority
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity
from runtime.token_changes import KnownChanges

Value = TypeVar("Value")

API_KEY_PREFIX: Final = "pmk_"
API_KEY: Final = re.compile(rf"{API_KEY_PREFIX}([0-9a-f]{{32}})_([A-Za-z0-9_-]{{43}})")
"""`pmk_<key id>_<secret>`: a UUID without its dashes, and 256 random bits in base64url."""

KNOWN_SECONDS: Final = 4.0
"""A revoked key works at most so long, plus the time of one question: under the 5 s that are promised."""

ASK_AGAIN_SECONDS: Final = 2.0
"""A key in use is asked about again in the background, so that nobody waits for the answer."""

UNKNOWN_SECONDS: Final = 2.0
AWAY_SECONDS: Final = 2.0
"""After a question nobody could answer, the next ones are not waited for."""

GRACE_SECONDS: Final = 300.0
"""While auth_service cannot tell, a key that was good so recently still is."""

REMEMBERED_MAX: Final = 10_000
"""Good keys, and as many wrong ones; the oldest is forgotten."""

QUESTIONS_MAX: Final = 200
"""Keys asked about at once; one more is refused with OVERLOADED."""


@dataclass(frozen=True, slots=True)
class _Known:
    identity: Identity
    asked_at: float


class ApiKeys:
    """What `Bearer pmk_...` means just now."""

    def __init__(self, authority: Authority | None, changes: KnownChanges, clock: Clock) -> None:
        self._authority = authority
        self._changes = changes
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._questions: dict[bytes, asyncio.Task[Identity]] = {}
        self._failed_at: float | None = None

    async def identity(self, api_key: str) -> Identity:
        """Who it is. Raises UNAUTHENTICATED, OVERLOADED, or UNAVAILABLE when nobody can tell."""
        if self._authority is None or not API_KEY.fullmatch(api_key):
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        digest = hashlib.sha256(api_key.encode()).digest()
        if self._since(self._unknown.get(digest)) < UNKNOWN_SECONDS:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        known = self._known.get(digest)
        if known is not None and not self._is_good(known.identity):
            known = None
        if known is not None and self._since(known.asked_at) < ASK_AGAIN_SECONDS:
            return known.identity
        question = self._question(digest, api_key)
        if known is not None and self._may_go_on(known):
            return known.identity
        try:
            return await asyncio.shield(question)
        except ApiError as error:
            if error.code is ErrorCode.UNAUTHENTICATED or known is None or not self._is_in_grace(known):
                raise
            return known.identity

    async def close(self) -> None:
        """Ends the questions that still wait."""
        questions = list(self._questions.values())
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)

    def _question(self, digest: bytes, api_key: str) -> "asyncio.Task[Identity]":
        question = self._questions.get(digest)
        if question is None:
            if len(self._questions) >= QUESTIONS_MAX:
                raise ApiError(ErrorCode.OVERLOADED)
            # In a context of its own: deadline and ids of the request at hand are one caller's, the answer is for many.
            question = asyncio.create_task(
                self._ask(digest, api_key), name="api key", context=contextvars.Context()
            )
            self._questions[digest] = question
            question.add_done_callback(lambda done: self._answered(digest, done))
        return question

    async def _ask(self, digest: bytes, api_key: str) -> Identity:
        assert self._authority is not None
        asked_at = self._clock.monotonic_seconds()
        try:
            identity = await self._authority.api_key(api_key)
        except ApiError as error:
            if error.code is ErrorCode.UNAUTHENTICATED:
                self._known.pop(digest, None)
                _remember(self._unknown, digest, asked_at)
                raise
            self._failed_at = self._clock.monotonic_seconds()
            raise ApiError(ErrorCode.UNAVAILABLE, "API keys cannot be checked just now: try again.") from None
        _remember(self._known, digest, _Known(identity, asked_at))
        return identity

    def _answered(self, digest: bytes, question: "asyncio.Task[Identity]") -> None:
        self._questions.pop(digest, None)
        if not question.cancelled():
            question.exception()  # looked at, in case whoever asked has gone away

    def _may_go_on(self, known: _Known) -> bool:
        """Without the answer to the question just asked."""
        is_away = self._since(self._failed_at) < AWAY_SECONDS
        return self._since(known.asked_at) < KNOWN_SECONDS or (is_away and self._is_in_grace(known))

    def _is_in_grace(self, known: _Known) -> bool:
        return self._since(known.asked_at) < GRACE_SECONDS

    def _is_good(self, identity: Identity) -> bool:
        now_seconds = self._clock.now_micros() // 1_000_000
        return now_seconds < identity.expires_at_seconds and not self._changes.is_over(identity)

    def _since(self, moment: float | None) -> float:
        return float("inf") if moment is None else self._clock.monotonic_seconds() - moment


def _remember(memory: OrderedDict[bytes, Value], digest: bytes, value: Value) -> None:
    memory[digest] = value
    memory.move_to_end(digest)
    if len(memory) > REMEMBERED_MAX:
        memory.popitem(last=False)
