"""The garbage collector's pace in a service: its full passes cost time in proportion to everything that is alive.

Reference counts free almost all of our garbage; what the collector is for are cycles, which are few. So what start-up
made (modules, loaded markets) is taken out of its sight, and it looks less often.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG_OBJECTS: Final = 20_000
"""New objects before it looks at the young ones (700 by default)."""
YOUNG_PASSES, OLD_PASSES = 20, 50


def calm() -> None:
    """Once everything is started: what is alive now is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_PASSES, OLD_PASSES)


@contextmanager
def loading() -> Iterator[None]:
    """While much is made that stays: nothing is looked at meanwhile, nor afterwards."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.freeze()
