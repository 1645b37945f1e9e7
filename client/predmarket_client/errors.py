"""What can go wrong, as a tree: everything is a PredmarketError.

PredmarketError
├── ApiError        the engine said no; `code` is stable and documented
├── NoAnswer        no answer came in time; a write may or may not have had its effect
└── ProtocolError   an answer that is not what the API promises
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class PredmarketError(Exception):
    """The base of all."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field: an RFC 6901 pointer into the body (`/price_micros`) and what is wrong with it."""

    pointer: str
    detail: str


class ApiError(PredmarketError):
    """A no with a stable code, such as INSUFFICIENT_FUNDS.

    `details` are further facts of the answer (a refused slippage carries the one that would pass). `retryable`: the
    same request may succeed later; the client has tried again already, as far as its policy goes.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        fields: tuple[FieldError, ...] = (),
        trace_id: str = "",
        retryable: bool = False,
        retry_after_seconds: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        named = "; ".join(f"{field.pointer}: {field.detail}" for field in fields)
        super().__init__(f"{code}: {message}" + (f" ({named})" if named else ""))
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields
        self.trace_id = trace_id
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.details: Mapping[str, Any] = details or {}


class NoAnswer(PredmarketError):
    """The gateway could not be reached, or its answer was lost. For a write, ask again with `idempotency_key`:
    it has its effect once, and the first answer is given again."""

    def __init__(self, message: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class ProtocolError(PredmarketError):
    """Not the engine at that address, or one that speaks another version."""
