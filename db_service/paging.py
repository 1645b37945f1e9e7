"""Keyset pages: a page begins after the last row of the one before, whatever was added meanwhile.

A page token is the last row's key, with a checksum of the request's filters: one from another request is refused. It is
no secret and needs no signature, since it only chooses among rows the caller may see.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from zlib import crc32

from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.ids import is_canonical_uuid

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 200
TOKEN_MAX_CHARACTERS: Final = 500


class Kind(Enum):
    """What a key column holds."""

    NUMBER = "bigint"
    ID = "uuid"


@dataclass(frozen=True, slots=True)
class Key:
    """One column (or expression) of a list's order."""

    column: str
    kind: Kind
    name: str = ""

    @property
    def label(self) -> str:
        """Its name in the result."""
        return self.name or self.column


@dataclass(frozen=True, slots=True)
class Listing:
    """A list's fixed part: what is selected, by which keys it is ordered (all in one direction)."""

    select: str
    keys: tuple[Key, ...]
    ascending: bool = False


class Query:
    """A list's moving part: conditions with their arguments, added one by one."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._conditions: list[str] = []
        self._arguments: list[Any] = []
        self._filters: list[Any] = []

    def where(self, condition: str, *arguments: Any) -> None:
        """`condition` names its arguments `{}`; it is our own text, never a caller's."""
        places = [f"${len(self._arguments) + 1 + index}" for index in range(len(arguments))]
        self._conditions.append(condition.format(*places))
        self._arguments += arguments
        self._filters.append([condition, [str(argument) for argument in arguments]])

    def page(self, page_size: int, page_token: str) -> Statement:
        """The statement for one page, one row more than asked for. Raises INVALID_ARGUMENT."""
        size = checked_page_size(page_size)
        listing = self._listing
        checksum = crc32(json.dumps([listing.select, listing.keys[0].column, self._filters]).encode())
        conditions, arguments = list(self._conditions), list(self._arguments)
        if page_token:
            after = _decode(page_token, listing.keys, checksum)
            columns = ", ".join(key.column for key in listing.keys)
            places = [f"${len(arguments) + 1 + i}::{key.kind.value}" for i, key in enumerate(listing.keys)]
            conditions.append(f"({columns}) {'>' if listing.ascending else '<'} ({', '.join(places)})")
            arguments += after
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        direction = "ASC" if listing.ascending else "DESC"
        order = ", ".join(f"{key.column} {direction}" for key in listing.keys)
        text = f"{listing.select} {where}ORDER BY {order} LIMIT {size + 1}"
        return Statement(text, tuple(arguments), size, checksum, listing.keys)


@dataclass(frozen=True, slots=True)
class Statement:
    """A page's SQL."""

    text: str
    arguments: tuple[Any, ...]
    size: int
    checksum: int
    keys: tuple[Key, ...]

    def cut(self, rows: Sequence[Any]) -> tuple[Sequence[Any], str]:
        """The page's rows, and the token of the next page (empty: none)."""
        if len(rows) <= self.size:
            return rows, ""
        shown = rows[: self.size]
        last = [_plain(shown[-1][key.label]) for key in self.keys]
        text = json.dumps([self.checksum, *last], separators=(",", ":"))
        return shown, base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def checked_page_size(page_size: int) -> int:
    """0 means the default. Raises INVALID_ARGUMENT."""
    if not 0 <= page_size <= PAGE_SIZE_MAX:
        raise bad_field("page_size", f"must be between 0 and {PAGE_SIZE_MAX}")
    return page_size or PAGE_SIZE_DEFAULT


def bad_field(name: str, detail: str) -> ApiError:
    """INVALID_ARGUMENT that names the field."""
    return ApiError(ErrorCode.INVALID_ARGUMENT, f"{name} {detail}", fields=[FieldError(f"/{name}", detail)])


def _plain(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)


def _decode(token: str, keys: Sequence[Key], checksum: int) -> list[int | str]:
    refusal = bad_field("page_token", "is not one that this list gave out")
    if len(token) > TOKEN_MAX_CHARACTERS or not token.isascii():
        raise refusal
    try:
        padded = token + "=" * (-len(token) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise refusal from None
    if not isinstance(parts, list) or len(parts) != len(keys) + 1 or parts[0] != checksum:
        raise refusal
    if not all(_fits(key, value) for key, value in zip(keys, parts[1:], strict=True)):
        raise refusal
    return parts[1:]


def _fits(key: Key, value: Any) -> bool:
    if key.kind is Kind.ID:
        return isinstance(value, str) and is_canonical_uuid(value)
    return type(value) is int and -(2**63) <= value < 2**63
