"""Work shared by those who ask for it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Rounds(Generic[Result]):
    """Each caller gets the result of a round that began after the call: so it shows what was true then.

    One round runs at a time; whoever asks meanwhile shares the next one.
    """

    def __init__(self, work: Callable[[], Awaitable[Result]]) -> None:
        self._work = work
        self._running: asyncio.Task[Result] | None = None
        self._next: asyncio.Task[Result] | None = None

    async def join(self) -> Result:
        """Raises what the work raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._round(self._running))
            self._next.add_done_callback(_retrieved)
        return await asyncio.shield(self._next)

    async def _round(self, before: "asyncio.Task[Result] | None") -> Result:
        if before is not None:
            await asyncio.wait((before,))
        self._running, self._next = self._next, None
        return await self._work()


class SingleFlight:
    """Of several who want the same thing, one fetches it; the others get what it got."""

    def __init__(self) -> None:
        self._flights: dict[Any, asyncio.Task[Any]] = {}

    async def do(self, key: Any, work: Callable[[], Awaitable[Result]]) -> Result:
        """Raises what the work raises. One caller going away stops nothing."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(_as_coroutine(work))
            self._flights[key] = flight
            flight.add_done_callback(_retrieved)
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        result: Result = await asyncio.shield(flight)
        return result


async def _as_coroutine(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()


def _retrieved(task: "asyncio.Task[Any]") -> None:
    """So that an error nobody waited for is not reported as forgotten: whoever waited was told."""
    if not task.cancelled():
        task.exception()
