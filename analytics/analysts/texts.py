"""Literals in which the engine looks for more than a value: it evaluates whatever stands in them, as if it stood in the
query, but the query's syntax tree does not show it. So only the plainest are open.
"""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_TEXT: Final = r"'[^'\\]*'"
_AGGREGATE: Final = re.compile(
    rf"(?P<name>[A-Za-z]\w*)(?:\((?:{_NUMBER}|{_TEXT})(?:\s*,\s*(?:{_NUMBER}|{_TEXT}))*\))?", re.ASCII
)

_NAME: Final = r"(?:[A-Za-z_]\w*|`\w+`)"
_FIXED: Final = (
    r"(?:U?Int(?:8|16|32|64|128|256)|Float(?:32|64)|Bool|String|UUID|Date(?:32|Time)?|IPv[46]"
    r"|Decimal(?:32|64|128|256)?\(\d+(?:\s*,\s*\d+)?\)|FixedString\(\d+\)|DateTime\('[\w/+-]+'\)"
    r"|DateTime64\(\d(?:\s*,\s*'[\w/+-]+')?\))"
)
_TYPE: Final = rf"(?:{_FIXED}|(?:Nullable|LowCardinality|Array)\(\s*(?:{_FIXED}|Nullable\({_FIXED}\))\s*\))"
_COLUMN: Final = rf"\s*{_NAME}\s+{_TYPE}\s*"
_STRUCTURE: Final = re.compile(rf"{_COLUMN}(?:,{_COLUMN})*", re.ASCII)


def aggregate_named(text: str) -> str | None:
    """The function that the first argument of arrayReduce names. None: it is more than a name with plain values."""
    found = _AGGREGATE.fullmatch(text)
    return found["name"] if found else None


def is_plain_structure(text: str) -> bool:
    """Whether the structure of a table is names and types only, without expressions such as an ALIAS."""
    return _STRUCTURE.fullmatch(text) is not None
