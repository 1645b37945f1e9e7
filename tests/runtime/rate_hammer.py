"""A process that asks for admission as fast as it can: `python -m tests.runtime.rate_hammer URL KEY LIMIT CHECKS`.

Prints, as JSON, when each admission was asked for and answered, on the clock that all processes of a machine share.
"""

import asyncio
import json
import sys
import time

from runtime.rate_limits import Limit, RateLimiter

AT_ONCE = 64


async def hammer(url: str, key: str, limit: Limit, checks: int) -> tuple[int, list[tuple[float, float]]]:
    """Checks made, and the admissions as (asked at, answered at)."""
    limiter = RateLimiter(url, answer_seconds=5.0)
    admitted: list[tuple[float, float]] = []
    left = checks

    async def ask() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            asked_at = time.monotonic()
            verdict = await limiter.admit(key, limit)
            if verdict.admitted:
                admitted.append((asked_at, time.monotonic()))

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    await limiter.close()
    return checks - max(0, left), admitted


if __name__ == "__main__":
    made, times = asyncio.run(hammer(sys.argv[1], sys.argv[2], Limit(int(sys.argv[3]), 1), int(sys.argv[4])))
    print(json.dumps({"made": made, "admitted": times}))
