"""Time limits of requests end what takes too long, and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from api_gateway.deadlines import TICK_SECONDS, Deadlines

SHORT_SECONDS = 0.05
LONG_SECONDS = 60.0


@pytest.fixture
async def deadlines() -> AsyncIterator[Deadlines]:
    made = Deadlines()
    watching = asyncio.create_task(made.watch())
    yield made
    watching.cancel()


async def test_what_takes_too_long_ends(deadlines: Deadlines) -> None:
    with pytest.raises(TimeoutError), deadlines.within(SHORT_SECONDS):
        await asyncio.sleep(LONG_SECONDS)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(TICK_SECONDS * 2)  # and the task goes on


async def test_what_ends_in_time_is_left_alone(deadlines: Deadlines) -> None:
    with deadlines.within(SHORT_SECONDS):
        pass
    await asyncio.sleep(SHORT_SECONDS + TICK_SECONDS * 3)


async def test_an_error_and_a_cancellation_from_elsewhere_stay_what_they_are(deadlines: Deadlines) -> None:
    with pytest.raises(ValueError), deadlines.within(LONG_SECONDS):
        raise ValueError
    reached = asyncio.Event()

    async def work() -> None:
        with deadlines.within(LONG_SECONDS):
            reached.set()
            await asyncio.sleep(LONG_SECONDS)

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_task_has_its_own(deadlines: Deadlines) -> None:
    async def work(limit_seconds: float) -> str:
        try:
            with deadlines.within(limit_seconds):
                await asyncio.sleep(SHORT_SECONDS * 10)
        except TimeoutError:
            return "over"
        return "done"

    limits = [SHORT_SECONDS, LONG_SECONDS] * 10
    assert await asyncio.gather(*map(work, limits)) == ["over", "done"] * 10
