"""Which queries analysts may ask: one SELECT over the views, with functions that only compute. It is decided on the
syntax tree that the engine itself makes of the text, and whatever is not known here is refused.

The engine would refuse most of it by itself (`readonly = 1`), but not all: the function `file` reads any file, and the
embedded engine has no rights to grant or to withhold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from analytics.analysts import texts
from analytics.analysts.functions import TABLE_FUNCTIONS, OpenFunctions
from analytics.analysts.refusals import BAD_REQUEST, DENIED, READONLY, UNKNOWN_FORMAT, Refused

Node = Mapping[str, Any]

FORMATS: Final = {
    name.lower(): name
    for name in (
        *("TabSeparated", "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes", "TabSeparatedRaw"),
        *("TSV", "TSVWithNames", "TSVWithNamesAndTypes", "TSVRaw"),
        *("CSV", "CSVWithNames", "CSVWithNamesAndTypes"),
        *(
            "JSON",
            "JSONCompact",
            "JSONStrings",
            "JSONColumns",
            "JSONEachRow",
            "JSONStringsEachRow",
            "JSONLines",
        ),
        *(
            "JSONCompactEachRow",
            "JSONCompactEachRowWithNames",
            "JSONCompactEachRowWithNamesAndTypes",
            "NDJSON",
        ),
        *("Native", "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes"),
        *("Parquet", "Arrow", "ArrowStream", "ORC", "Markdown", "Values", "Vertical", "XML", "Null"),
        *("Pretty", "PrettyCompact", "PrettySpace", "PrettyNoEscapes", "PrettyCompactNoEscapes"),
    )
}
"""Those that need no file and no setting."""

_NODES: Final = frozenset(
    {"SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery", "Subquery", "ExpressionList"}
    | {"WithElement", "Function", "Identifier", "Literal", "QueryParameter", "Asterisk", "QualifiedAsterisk"}
    | {"ColumnsListMatcher", "ColumnsRegexpMatcher", "QualifiedColumnsListMatcher"}
    | {"QualifiedColumnsRegexpMatcher", "ColumnsTransformerList", "ColumnsApplyTransformer"}
    | {"ColumnsExceptTransformer", "ColumnsReplaceTransformer", "ColumnsReplaceTransformerReplacement"}
    | {"TablesInSelectQuery", "TablesInSelectQueryElement", "TableExpression", "TableIdentifier", "TableJoin"}
    | {"ArrayJoin", "SampleRatio", "OrderByElement", "InterpolateElement", "WindowDefinition"}
    | {"WindowListElement"}
)
_SYSTEM_DATABASES: Final = frozenset({"system", "information_schema", "default"})
_SIMPLE_MAX: Final = 1_000
"""None of the simple ones is longer, and looking takes the square of the length."""

_FORMAT: Final = r"(?:\s+FORMAT\s+(?P<format>\w+))?\s*;?\s*"
_HANDSHAKE: Final = re.compile(
    r"\s*SELECT name, value, readonly FROM system\.settings LIMIT 10000" + _FORMAT, re.IGNORECASE
)
_SHOW: Final = re.compile(r"\s*SHOW\s+TABLES(?:\s+(?:FROM|IN)\s+(?P<database>\w+))?" + _FORMAT, re.IGNORECASE)
_DESCRIBE: Final = re.compile(
    r"\s*DESC(?:RIBE)?(?:\s+TABLE)?\s+(?:(?P<database>\w+)\.|`(?P<quoted_database>\w+)`\.)?`?(?P<view>\w+)`?"
    + _FORMAT,
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is open: the views of `database`, over the tables of `tables_database`."""

    database: str
    tables_database: str
    functions: OpenFunctions

    def simple_format(self, sql: str) -> str | None:
        """The format a statement names ("": none) that is open although it is no SELECT: SHOW TABLES, DESCRIBE of a
        view, and the question clickhouse-connect begins with, word for word. None: it is none of these."""
        if len(sql) > _SIMPLE_MAX:
            return None
        if found := _HANDSHAKE.fullmatch(sql):
            return checked_format(found["format"] or "")
        if (found := _SHOW.fullmatch(sql)) and found["database"] in (None, self.database):
            return checked_format(found["format"] or "")
        found = _DESCRIBE.fullmatch(sql)
        if found and (found["database"] or found["quoted_database"] or self.database) == self.database:
            return checked_format(found["format"] or "")
        return None

    def check(self, tree: Node) -> str:
        """The format the query names ("": none). Raises Refused."""
        if tree.get("type") not in ("SelectWithUnionQuery", "SelectIntersectExceptQuery"):
            raise Refused(READONLY, "Analysts may ask SELECT, SHOW TABLES and DESCRIBE TABLE, nothing else.")
        if "out_file" in tree:
            raise Refused(READONLY, "INTO OUTFILE is not open to analysts.")
        for node in _nodes(tree):
            self._check_node(node)
        return checked_format(tree.get("format_ast", {}).get("name", ""))

    def _check_node(self, node: Node) -> None:
        kind = node["type"]
        if kind == "SetQuery":
            raise Refused(READONLY, "Settings cannot be changed by a query.")
        if kind not in _NODES:
            raise Refused(DENIED, f"{kind} is not open to analysts.")
        if kind == "Function":
            self._check_function(node["name"])
            if self.functions.takes_a_name(node["name"]):
                self._check_named(node)
        elif kind == "ColumnsApplyTransformer" and "func_name" in node:
            self._check_function(node["func_name"])
            if self.functions.takes_a_name(node["func_name"]):
                raise Refused(DENIED, f"{node['func_name']} is not open to analysts in APPLY.")
        elif kind == "TableExpression":
            self._check_table_function(node)
        elif kind == "TableIdentifier":
            self._check_table(node)
        elif kind == "Identifier":
            self._check_identifier(node)
        elif kind == "QueryParameter" and node.get("param_type", "").lower() == "identifier":
            raise Refused(DENIED, "Parameters of the type Identifier are not open to analysts.")

    def _check_function(self, name: str) -> None:
        if not self.functions.has(name) and name.lower() not in TABLE_FUNCTIONS:
            raise Refused(DENIED, f"The function {name} is not open to analysts (or there is none).")

    def _check_named(self, node: Node) -> None:
        """The engine evaluates what stands in that text, and the tree does not show it."""
        text = _text_of(_first_argument(node))
        named = texts.aggregate_named(text) if text is not None else None
        if named is None or not self.functions.aggregates(named):
            raise Refused(
                DENIED,
                f"{node['name']} is open to analysts with the plain name of an aggregate function, in quotes.",
            )

    def _check_table_function(self, node: Node) -> None:
        function = node.get("table_function")
        if function is None:
            return
        name = function["name"].lower()
        if name not in TABLE_FUNCTIONS:
            raise Refused(DENIED, f"The table function {function['name']} is not open to analysts.")
        if name == "values":
            _check_structure(_first_argument(function))

    def _check_table(self, node: Node) -> None:
        """Without a database it is a view, or defined by the query itself: the session's database has nothing else."""
        parts = node.get("name_parts", [node["name"]])
        if not (len(parts) == 1 or (len(parts) == 2 and parts[0] == self.database)):
            raise Refused(DENIED, f"Analysts read the views of {self.database}, not {node['name']}.")
        if not parts[-1]:
            raise Refused(BAD_REQUEST, "The name of a table cannot be a parameter.")

    def _check_identifier(self, node: Node) -> None:
        """It may stand for a function, `arrayMap(file, names)`, or for a table, `1 IN system.one`."""
        parts = node.get("name_parts", [node["name"]])
        if len(parts) == 1 and self.functions.is_closed(parts[0]):
            raise Refused(
                DENIED, f"{parts[0]} is a function that is not open to analysts; give columns another name."
            )
        first = parts[0].lower()
        ours = first.startswith(self.tables_database.lower()) and parts[0] != self.database
        if len(parts) > 1 and (ours or first in _SYSTEM_DATABASES or first.startswith("_")):
            raise Refused(DENIED, f"Analysts read the views of {self.database}, not {node['name']}.")


def checked_format(name: str) -> str:
    """As the engine spells it. Raises Refused."""
    if name and name.lower() not in FORMATS:
        raise Refused(UNKNOWN_FORMAT, f"The format {name} is unknown or not open to analysts.")
    return FORMATS.get(name.lower(), "")


def _check_structure(first: Any) -> None:
    """Of `values`. A structure can hold expressions that the tree does not show. Raises Refused."""
    if first is None:
        return
    text = _text_of(first)
    is_row = text is None and (first["type"] == "Literal" or first.get("name") == "tuple")
    if not is_row and (text is None or not texts.is_plain_structure(text)):
        raise Refused(
            DENIED, "values is open to analysts with rows, or with columns of plain types before them."
        )


def _first_argument(function: Node) -> Any:
    children = function.get("arguments", {}).get("children", ())
    return children[0] if children else None


def _text_of(node: Any) -> str | None:
    """None: it is no text that stands there word for word."""
    value = node.get("value") if isinstance(node, dict) and node["type"] == "Literal" else None
    if not isinstance(value, dict) or value["field_type"] != "String":
        return None
    return str(value["value"])


def _nodes(tree: Node) -> Iterator[Node]:
    """Every node; not recursive, as a query can be nested deeply."""
    waiting: list[Any] = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "type" in one:
                yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
