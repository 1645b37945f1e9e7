"""Tasks end for sure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from runtime import tasks
from runtime.tasks import ended


@pytest.fixture
async def stubborn(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["asyncio.Task[None]"]:
    """It loses two cancellations, as `wait_for` may."""
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.02)

    async def lose(cancellations: int) -> None:
        for _ in range(cancellations):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(lose(2))
    await asyncio.sleep(0)
    yield task
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


async def test_a_task_that_loses_cancellations_ends_with_the_others(stubborn: "asyncio.Task[None]") -> None:
    waits = asyncio.create_task(asyncio.sleep(60))
    done = asyncio.create_task(asyncio.sleep(0, "answer"))
    await done
    assert await ended(stubborn, waits, done) == frozenset()
    assert stubborn.cancelled()
    assert waits.cancelled()
    assert done.result() == "answer"


async def test_who_does_not_end_in_time_is_named(
    stubborn: "asyncio.Task[None]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 60.0)
    assert await ended(stubborn, within_seconds=0.05) == {stubborn}
    assert not stubborn.done()


async def test_whoever_waits_may_be_cancelled(stubborn: "asyncio.Task[None]") -> None:
    waiting = asyncio.create_task(ended(stubborn))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
