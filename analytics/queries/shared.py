"""Answers that many ask for at once: computed once, kept for a while that grows with what they cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

KEPT_SECONDS: Final = 5.0
TIMES_ITS_COST: Final = 10
"""An answer that took a second is kept for ten, so that computing takes a tenth of the time at most."""

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Kept(Generic[Answer]):
    answer: Answer
    until: float


class Shared(Generic[Question, Answer]):
    """For few questions (six leaderboards, a calibration per hour of a year): no answer is ever dropped."""

    def __init__(self, compute: Callable[[Question], Awaitable[Answer]]) -> None:
        self._compute = compute
        self._kept: dict[Question, _Kept[Answer]] = {}
        self._turns: dict[Question, asyncio.Lock] = {}

    async def ask(self, question: Question) -> Answer:
        """Raises what computing raises; that is not kept."""
        async with self._turns.setdefault(question, asyncio.Lock()):
            kept = self._kept.get(question)
            if kept is not None and time.monotonic() < kept.until:
                return kept.answer
            began = time.monotonic()
            answer = await self._compute(question)
            ended = time.monotonic()
            self._kept[question] = _Kept(answer, ended + max(KEPT_SECONDS, TIMES_ITS_COST * (ended - began)))
            return answer
