"""Places where a test may kill the process. Without FAIL_POINT in the settings they do nothing."""

from __future__ import annotations

import os
import signal
from typing import Final

POINTS: Final = frozenset(
    {
        "received",
        "validated",
        "applied",
        "begin",
        "rows_written",
        "commit_sent",
        "committed",
        "replied",
        "published",
    }
)


PAUSE: Final = "pause-"


def is_fail_point(chosen: str) -> bool:
    """`name`, `name:skip`, or either with `pause-` before it."""
    name, _, skip = chosen.removeprefix(PAUSE).partition(":")
    return name in POINTS and (not skip or skip.isdecimal())


class FailPoints:
    """Kills this process with SIGKILL the `skip + 1`-th time it reaches the chosen place; `pause-`: SIGSTOP."""

    def __init__(self, chosen: str = "") -> None:
        assert not chosen or is_fail_point(chosen), f"unknown fail point {chosen}"
        self._signal = signal.SIGSTOP if chosen.startswith(PAUSE) else signal.SIGKILL
        self._name, _, skip = chosen.removeprefix(PAUSE).partition(":")
        self._skip = int(skip or 0)

    def reach(self, name: str) -> None:
        """A no-op unless `name` was chosen."""
        if name != self._name:
            return
        if self._skip:
            self._skip -= 1
            return
        self._name = ""
        os.kill(os.getpid(), self._signal)
