"""What an analyst is told when a query is not answered: ClickHouse's own codes, names and HTTP status codes, so that
its clients understand them. The engine's text is passed on where it speaks of the analyst's own query, and never
anything of ours: no paths, no Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

UNAUTHENTICATED: Final = 516
DENIED: Final = 497
READONLY: Final = 164
TOO_MANY_QUERIES: Final = 202
QUOTA_EXCEEDED: Final = 201
UNKNOWN_DATABASE: Final = 81
UNKNOWN_FORMAT: Final = 73
SYNTAX_ERROR: Final = 62
TOO_LARGE: Final = 66
BAD_REQUEST: Final = 36
AWAY: Final = 279
INTERNAL: Final = 1002
CANCELLED: Final = 394
TOO_SLOW: Final = 209
TIMED_OUT: Final = 159
TOO_MANY_BYTES: Final = 396

NAMES: Final = {
    UNAUTHENTICATED: "AUTHENTICATION_FAILED",
    DENIED: "ACCESS_DENIED",
    READONLY: "READONLY",
    TOO_MANY_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    QUOTA_EXCEEDED: "QUOTA_EXCEEDED",
    UNKNOWN_DATABASE: "UNKNOWN_DATABASE",
    UNKNOWN_FORMAT: "UNKNOWN_FORMAT",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    TOO_LARGE: "REQUEST_ENTITY_TOO_LARGE",
    BAD_REQUEST: "BAD_ARGUMENTS",
    AWAY: "ALL_CONNECTION_TRIES_FAILED",
    INTERNAL: "UNKNOWN_EXCEPTION",
    CANCELLED: "QUERY_WAS_CANCELLED",
    TOO_SLOW: "SOCKET_TIMEOUT",
    TIMED_OUT: "TIMEOUT_EXCEEDED",
    TOO_MANY_BYTES: "TOO_MANY_ROWS_OR_BYTES",
}
_STATUS: Final = {
    UNAUTHENTICATED: 401,
    DENIED: 403,
    READONLY: 403,
    TOO_MANY_QUERIES: 503,
    QUOTA_EXCEEDED: 429,
    TOO_LARGE: 413,
    AWAY: 503,
    INTERNAL: 500,
    CANCELLED: 499,
    **dict.fromkeys((46, 47, 50, 60, 73, 81, 115), 404),  # of what is unknown
    48: 501,
    TIMED_OUT: 408,
    TOO_SLOW: 408,
    241: 507,
}
_STATUS_USUAL: Final = 400

_OWN_QUERY: Final = frozenset(
    {1, 6, 10, 16, 20, 26, 27, 36, 38, 41, 42, 43, 44, 46, 47, 48, 49, 50, 53, 60, 62, 63, 69, 70, 72, 73, 80}
    | {81, 115, 125, 130, 153, 158, 159, 160, 164, 167, 168, 179, 184, 190, 191, 202, 207, 215, 241, 258, 279}
    | {
        306,
        307,
        321,
        352,
        377,
        386,
        394,
        395,
        396,
        403,
        407,
        427,
        440,
        452,
        456,
        457,
        469,
        475,
        524,
        536,
        636,
    }
)
"""Codes whose text is about the query: syntax, names, types, values, limits. Of any other only the code is told."""

_BEGIN: Final = re.compile(r"Code: (\d+)\. DB::Exception: ")
_END: Final = re.compile(r"\(([A-Z][A-Z0-9_]+)\)$|\(version [^()]{1,80}\)\.?$")
"""What the engine puts behind its words: the name of the code, its version. Several may stand there."""

_ENDS_MAX: Final = 10
_ADDRESSES: Final = " Stack address: "
_OUR_PARSING: Final = ": In scope SELECT parseQueryToJSON("
_PATH: Final = re.compile(r"(?<![\w/])/(?:[\w.+@-]+/)+[\w.+@-]*")
TEXT_MAX: Final = 4_000


@dataclass(slots=True)
class Refused(Exception):
    """A query that is not answered. `retry_seconds`: when to try again, where that is known."""

    code: int
    text: str
    name: str = ""
    retry_seconds: int | None = None

    @property
    def status(self) -> int:
        """Of HTTP."""
        return _STATUS.get(self.code, _STATUS_USUAL)

    def __str__(self) -> str:
        name = self.name or NAMES.get(self.code, "UNKNOWN")
        return f"Code: {self.code}. DB::Exception: {self.text} ({name})"


def of_engine(error: str) -> Refused:
    """What the engine said, as far as it may be told."""
    found = _BEGIN.search(error)
    if found is None:
        return Refused(INTERNAL, "The query failed.")
    code, text = int(found[1]), error[found.end() :]
    while nested := _BEGIN.match(text):
        text = text[nested.end() :]
    text, name = _without_ends(text)
    if code not in _OWN_QUERY:
        return Refused(code, "The query failed.", name)
    # The text can hold a whole query. It is cut before patterns look at it: some take the square of its length.
    text = text.partition(_OUR_PARSING)[0].partition(_ADDRESSES)[0][:TEXT_MAX]
    return Refused(code, _PATH.sub("...", text), name)


def _without_ends(text: str) -> tuple[str, str]:
    """The engine's words, and the name of the code ("": none)."""
    name = ""
    for _ in range(_ENDS_MAX):
        text = text.rstrip()
        end = _END.search(text[-200:])
        if end is None:
            break
        text, name = text[: -len(end[0])], name or end[1] or ""
    return text, name
