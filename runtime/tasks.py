"""Ends tasks for sure."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Final, TypeVar

AGAIN_SECONDS: Final = 2.5
"""Long enough for what a task does when it is cancelled, such as leaving a group: another one would cut that off."""


AnyTask = TypeVar("AnyTask", bound="asyncio.Future[Any]")


async def ended(*tasks: AnyTask, within_seconds: float = math.inf) -> frozenset[AnyTask]:
    """Cancels those that still run, until all have ended; those that have not in this time.

    Once is not enough: below Python 3.12 `asyncio.wait_for`, which nats-py uses, can lose a cancellation.
    """
    deadline = time.monotonic() + within_seconds
    running = {task for task in tasks if not task.done()}
    while running and (left := deadline - time.monotonic()) > 0:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=min(AGAIN_SECONDS, left))
    return frozenset(running)
