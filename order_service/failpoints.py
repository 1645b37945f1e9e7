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


class FailPoints:
    """Kills this process with SIGKILL the `skip + 1`-th time it reaches the chosen place (`name` or `name:skip`)."""

    def __init__(self, chosen: str = "") -> None:
        name, _, skip = chosen.partition(":")
        assert not name or name in POINTS, f"unknown fail point {name}"
        self._name = name
        self._skip = int(skip or 0)

    def reach(self, name: str) -> None:
        """A no-op unless `name` was chosen."""
        if name != self._name:
            return
        if self._skip:
            self._skip -= 1
            return
        os.kill(os.getpid(), signal.SIGKILL)
