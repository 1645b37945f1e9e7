"""`make logs`: the ends of the log files, then whatever is added."""

import time
from pathlib import Path
from typing import BinaryIO

LAST_BYTES = 2_000
POLL_SECONDS = 0.3


def follow(folder: Path, service: str) -> None:
    """Print until Ctrl-C. `service`: the name of one log, or empty for all."""
    opened: dict[Path, BinaryIO] = {}
    try:
        while True:
            for path in sorted(folder.glob(f"{service or '*'}.log")):
                if path not in opened:
                    opened[path] = _open_at_the_end(path)
                _print_new(path, opened[path])
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return
    finally:
        for log in opened.values():
            log.close()


def _open_at_the_end(path: Path) -> BinaryIO:
    log = path.open("rb")
    log.seek(max(0, path.stat().st_size - LAST_BYTES))
    if log.tell():
        log.readline()  # probably the second half of a line
    return log


def _print_new(path: Path, log: BinaryIO) -> None:
    if path.stat().st_size < log.tell():
        log.seek(0)  # it was rotated
    for line in log:
        print(f"{path.stem:<16} {line.decode(errors='replace').rstrip()}", flush=True)
