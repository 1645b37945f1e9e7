"""What the commands so far changed, so that one command or a whole batch can be undone.

Rows are mutable and owned by one loop (`engine.core`). Whoever changes one calls `journal.touch(row)` first;
the journal then knows how to undo the command, and which rows it changed, with their values before it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar


class Row:
    """Something the journal can save and restore: a fixed list of fields."""

    __slots__ = ("touched_by",)
    FIELDS: ClassVar[tuple[str, ...]] = ()
    _values_of: ClassVar[Any]

    touched_by: int
    """The number of the command that last saved this row; a row is saved once per command."""

    def __init_subclass__(cls) -> None:
        cls._values_of = attrgetter(*cls.FIELDS)

    def read(self) -> tuple[Any, ...]:
        """The fields' values, in their order."""
        values: tuple[Any, ...] = self._values_of(self)
        return values

    def restore(self, values: tuple[Any, ...]) -> None:
        for name, value in zip(self.FIELDS, values, strict=True):
            setattr(self, name, value)


class Journal:
    """What the commands applied so far changed, in order, so that one command or all of them can be undone."""

    __slots__ = ("_rows", "_undo", "command", "steps")

    def __init__(self) -> None:
        self.command = 0
        self.steps = 0
        """Changes noted so far, undone ones too: a measure of work that needs no clock."""
        self._undo: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._rows: list[tuple[Row, tuple[Any, ...] | None]] = []

    def begin(self) -> int:
        """Start a command; returns the mark that `rollback` takes back to."""
        self.command += 1
        self._rows = []
        return len(self._undo)

    def touch(self, row: Row) -> None:
        """Save `row` before its first change by this command."""
        if row.touched_by != self.command:
            before = row.read()
            self._undo.append((row.restore, (before,)))
            self._rows.append((row, before))
            row.touched_by = self.command
            self.steps += 1

    def created(self, row: Row) -> None:
        """`row` is new in this command: there is nothing before it."""
        row.touched_by = self.command
        self._rows.append((row, None))

    def on_undo(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run `function(*arguments)` when this command is undone (latest first)."""
        self._undo.append((function, arguments))
        self.steps += 1

    def rows(self) -> list[tuple[Row, tuple[Any, ...] | None]]:
        """The rows this command touched, with their values before it (None: new)."""
        return self._rows

    def rollback(self, mark: int) -> None:
        while len(self._undo) > mark:
            function, arguments = self._undo.pop()
            function(*arguments)
        self._rows = []
        self.command += 1

    def forget(self) -> None:
        """The commands so far are final (committed): drop what would undo them."""
        self._undo.clear()
        self._rows = []
