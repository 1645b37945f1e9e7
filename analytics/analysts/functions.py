"""Functions that analysts may call: those that only compute. The engine says which there are, so that one which a new
version brings is closed until its kind is opened here. (Functions that aggregate only compute, all but a few.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OPEN_CATEGORIES: Final = frozenset(
    {"Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance"}
    | {"Encoding", "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map"}
    | {"Mathematical", "Null", "NumericIndexedVector", "Random Number", "Rounding", "String"}
    | {"String Replacement", "String Search", "String Splitting", "Time Window", "Tuple", "Type Conversion"}
    | {"URL", "UUID"}
)
"""Closed kinds read files, dictionaries, settings, the process or the network, or write: AI, Dictionary, Embedded
Dictionary, Introspection, Machine Learning, Other and whatever is new."""

OPEN_BY_NAME: Final = frozenset(
    {
        "bar",
        "byteSize",
        "countDigits",
        "digits",
        "currentDatabase",
        "version",
        "toTypeName",
        "toColumnTypeName",
    }
    | {"formatReadableSize", "formatReadableQuantity", "formatReadableDecimalSize", "formatReadableTimeDelta"}
    | {"parseReadableSize", "parseReadableSizeOrNull", "parseReadableSizeOrZero", "parseTimeDelta"}
    | {"materialize", "identity", "ignore", "transform", "throwIf", "isConstant", "isDecimalOverflow"}
    | {"runningDifference", "runningDifferenceStartingWithFirstValue", "neighbor", "runningAccumulate"}
    | {"rowNumberInBlock", "rowNumberInAllBlocks", "blockNumber", "blockSize", "visibleWidth"}
    | {"finalizeAggregation", "initializeAggregation", "minSampleSizeConversion", "minSampleSizeContinuous"}
    | {
        "defaultValueOfArgumentType",
        "defaultValueOfTypeName",
        "variantElement",
        "variantType",
        "getSubcolumn",
    }
)
"""Of the kind Other."""

CLOSED_BY_NAME: Final = frozenset(
    {"formatRow", "formatRowNoNewline", "groupFormat"}  # formats that the rules do not see
    | {"aggThrow", "flameGraph"}  # for those who develop the engine
)
"""Of kinds that are open."""

NAMED_IN_TEXT: Final = frozenset({"arrayReduce", "arrayReduceInRanges", "initializeAggregation"})
"""Open, but their first argument is the text of another function, which the engine evaluates: even what stands in its
parentheses. They take a plain name with plain values."""

SYNTAX: Final = frozenset({"lambda", "exists", "grouping", "untuple", "columns", "countdistinct"})
"""What the parser calls functions."""

COMBINATORS: Final = (
    *("if", "array", "map", "simplestate", "mergestate", "state", "merge", "foreach", "distinct"),
    *("ordefault", "ornull", "resample", "argmin", "argmax", "null"),
)
TABLE_FUNCTIONS: Final = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "view"}
)
"""Those that make their rows themselves."""

CATALOGUE: Final = "SELECT name, alias_to, is_aggregate, categories FROM system.functions"


class OpenFunctions:
    """Made from the rows of CATALOGUE."""

    def __init__(self, rows: Iterable[tuple[str, str, int, str]]) -> None:
        catalogue = [
            (name.lower(), alias.lower(), is_aggregate, kinds) for name, alias, is_aggregate, kinds in rows
        ]

        def with_aliases(names: Iterable[str]) -> frozenset[str]:
            lower = {name.lower() for name in names}
            return frozenset(lower | {name for name, alias, _, _ in catalogue if alias in lower})

        closed = with_aliases(CLOSED_BY_NAME)
        of_open_kinds = {
            name for name, _, is_aggregate, kinds in catalogue if not is_aggregate and _is_open(kinds)
        }
        self._scalar = with_aliases(of_open_kinds | OPEN_BY_NAME | SYNTAX) - closed
        self._aggregate = {name for name, _, is_aggregate, _ in catalogue if is_aggregate} - closed
        self._known = {name for name, _, _, _ in catalogue}
        self._named_in_text = with_aliases(NAMED_IN_TEXT)

    def is_closed(self, name: str) -> bool:
        """Whether the engine has a function of that name that is not open, or is open to some arguments only."""
        wanted = name.lower()
        return self.takes_a_name(wanted) or (wanted in self._known and not self.has(wanted))

    def takes_a_name(self, name: str) -> bool:
        """Whether its first argument is the name of an aggregate function."""
        return name.lower() in self._named_in_text

    def aggregates(self, name: str) -> bool:
        """Whether it is an open aggregate function, also with combinators."""
        return self._is_aggregate(name.lower())

    def has(self, name: str) -> bool:
        """Whether it is open; of an aggregate function also with combinators, such as sumIf."""
        wanted = name.lower()
        return wanted in self._scalar or self._is_aggregate(wanted)

    def _is_aggregate(self, wanted: str) -> bool:
        if wanted in self._aggregate:
            return True
        return any(
            self._is_aggregate(wanted.removesuffix(combinator))
            for combinator in COMBINATORS
            if wanted.endswith(combinator) and len(wanted) > len(combinator)
        )


def _is_open(kinds: str) -> bool:
    named = {kind.strip() for kind in kinds.split(",") if kind.strip()}
    return bool(named) and named <= OPEN_CATEGORIES
