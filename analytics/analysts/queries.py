"""Questions under way: each has its place, is looked after while it runs, and is ended when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from uuid import uuid4

from analytics.analysts import metrics, sessions
from analytics.analysts.refusals import INTERNAL, TIMED_OUT, Refused
from analytics.analysts.rules import Rules
from analytics.analysts.sessions import Answer, Bounds, Question
from analytics.analysts.turns import Turns
from analytics.clickhouse import ClickHouse
from runtime.logs import get_logger

log = get_logger(__name__)

LOOK_SECONDS: Final = 0.2
"""How often we look whether the answer is still wanted."""

GRACE_SECONDS: Final = 5.0
"""The engine has this long to end a query that is over."""


class Queries:
    """`close()` ends what runs."""

    def __init__(
        self, clickhouse: ClickHouse, *, bounds: Bounds, turns: Turns, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._clickhouse = clickhouse
        self._bounds = bounds
        self._turns = turns
        self._grace_seconds = grace_seconds
        self._running: set[str] = set()
        self._ending: set[asyncio.Task[None]] = set()

    async def answer(
        self, question: Question, rules: Rules, *, user_id: str, still_wanted: Callable[[], Awaitable[None]]
    ) -> Answer:
        """Asks when it is the question's turn. `still_wanted` raises Refused when it is not. Raises Refused."""
        end_turn = await self._turns.turn(user_id)
        tag = str(uuid4())
        work = asyncio.ensure_future(
            self._clickhouse.embedded_session(
                lambda session: sessions.answer(session, question, rules, self._bounds, tag)
            )
        )
        self._running.add(tag)

        def done(_: object) -> None:
            self._running.discard(tag)
            end_turn()

        # Its place is taken as long as it runs, even if nobody waits for it any more.
        work.add_done_callback(done)
        try:
            await self._attend(work, user_id, still_wanted)
            return await work
        except Refused:
            raise
        except Exception as error:
            log.error("analyst's query failed", error=f"{type(error).__name__}: {error}"[:300])
            raise Refused(INTERNAL, "The query failed.") from None
        finally:
            if not work.done():
                ending = asyncio.create_task(self._end(work, tag))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """What runs is ended: its sender gets an error. What the engine does not end is left to end by itself."""
        for tag in tuple(self._running):
            await self._kill(tag)
        if self._ending:
            await asyncio.wait(self._ending, timeout=self._grace_seconds)
        for ending in tuple(self._ending):
            ending.cancel()

    async def _attend(
        self, work: asyncio.Future[Answer], user_id: str, still_wanted: Callable[[], Awaitable[None]]
    ) -> None:
        """Until it is done. The engine looks at its own clock between blocks only, and one block can take very long."""
        loop = asyncio.get_running_loop()
        over_at = loop.time() + self._bounds.seconds_max + self._grace_seconds
        while not (await asyncio.wait({work}, timeout=LOOK_SECONDS))[0]:
            await still_wanted()
            if loop.time() >= over_at:
                log.warning("the engine does not end an analyst's query", user_id=user_id)
                raise Refused(TIMED_OUT, f"Timeout exceeded: maximum: {self._bounds.seconds_max} seconds.")

    async def _end(self, work: asyncio.Future[Answer], tag: str) -> None:
        """Kills it until it has ended: it may not have begun when it is first tried."""
        with metrics.ENDING.track_inprogress():
            while not work.done():
                await self._kill(tag)
                await asyncio.wait({work}, timeout=LOOK_SECONDS)
        with suppress(Exception):
            work.exception()

    async def _kill(self, tag: str) -> None:
        await self._clickhouse.embedded_session(lambda session: sessions.kill(session, tag))
