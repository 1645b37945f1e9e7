"""Tasks nobody awaits: their failure is said, and somebody is told."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.logs import get_logger

log = get_logger(__name__)


def watched(
    work: Coroutine[Any, Any, None], name: str, on_failure: Callable[[], None]
) -> "asyncio.Task[None]":
    """Runs it. An exception is a defect of ours: it is logged, and `on_failure` is called."""

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of a feed failed", task=name, exc_info=error)
            on_failure()

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    return task


async def stop(tasks: "tuple[asyncio.Task[None], ...]") -> None:
    """Cancels them and waits."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
