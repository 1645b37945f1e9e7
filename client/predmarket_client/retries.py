"""When to ask again, and how long to wait before: pure, so that it can be tested without a clock."""

from dataclasses import dataclass

_REPEATABLE_STATUS = frozenset({429, 502, 503, 504})
# A Retry-After is kept to; what comes on top spreads those who were refused together.
_SPREAD = 0.25
_SPREAD_MIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounded by attempts and by time; whichever comes first ends it with the last error.

    Reads are repeated freely. Writes carry an Idempotency-Key, so a repeated one has its effect once.
    """

    attempts_max: int = 6
    total_seconds: float = 30.0
    """From the first attempt; no wait is begun that would end later."""
    attempt_seconds: float = 12.0
    """For one answer; the gateway itself gives up after 10 s."""
    first_wait_seconds: float = 0.1
    """Doubled with every attempt."""
    wait_max_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts_max < 1 or min(self.total_seconds, self.attempt_seconds) <= 0:
            raise ValueError("at least one attempt, and some time for it")

    def wait_seconds(
        self, *, attempt: int, elapsed_seconds: float, retry_after_seconds: float | None, chance: float
    ) -> float | None:
        """Before the attempt after number `attempt` (from 1); None: no more. `chance` is random in 0..1."""
        if attempt >= self.attempts_max:
            return None
        if retry_after_seconds is not None:
            spread = max(_SPREAD_MIN_SECONDS, retry_after_seconds * _SPREAD)
            wait = retry_after_seconds + chance * spread
        else:
            longest = min(self.wait_max_seconds, self.first_wait_seconds * 2 ** (attempt - 1))
            wait = longest * (1 + chance) / 2
        return wait if elapsed_seconds + wait < self.total_seconds else None


def may_repeat(status: int, retryable: bool) -> bool:
    """Whether an answer leaves hope: said so by the engine, or by a proxy before it."""
    return retryable or status in _REPEATABLE_STATUS
