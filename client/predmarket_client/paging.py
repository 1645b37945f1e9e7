"""Lists that come in pages, newest first."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows, and the cursor of the next ones; None: these were the last."""

    items: tuple[T, ...]
    next_cursor: str | None = None


class Pages(Generic[T]):
    """`async for row in pages` walks all of them, asking for a page when the one before is used up.

    `await pages.page(cursor)` is one page, for who keeps the cursor. Rows that come meanwhile are not seen.
    """

    def __init__(self, fetch: Callable[[str | None], Awaitable[Page[T]]]) -> None:
        self._fetch = fetch

    async def page(self, cursor: str | None = None) -> Page[T]:
        """One page; without a cursor the first."""
        return await self._fetch(cursor)

    async def all(self, rows_max: int = 10_000) -> list[T]:
        """The newest rows, up to a bound."""
        found: list[T] = []
        async for row in self:
            found.append(row)
            if len(found) >= rows_max:
                break
        return found

    async def __aiter__(self) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = await self._fetch(cursor)
            for row in page.items:
                yield row
            cursor = page.next_cursor
            if cursor is None:
                return
