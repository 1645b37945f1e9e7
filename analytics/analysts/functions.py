"""Functions that analysts may call: those that only compute. The engine says which there are, so that one which a new
version brings is closed until its kind is opened here.
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
        catalogue = list(rows)
        by_name = {name.lower() for name in OPEN_BY_NAME}
        scalar = {
            name.lower() for name, _, is_aggregate, kinds in catalogue if not is_aggregate and _is_open(kinds)
        }
        self._scalar = scalar | by_name | SYNTAX
        self._scalar |= {name.lower() for name, alias, _, _ in catalogue if alias.lower() in self._scalar}
        self._aggregate = {name.lower() for name, _, is_aggregate, _ in catalogue if is_aggregate}

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
