"""One question, asked on a session of the embedded engine of its own: nothing an earlier one did is there, its limits
and `readonly` are set before the text is looked at, and the text is judged before it runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chdb import ChdbError
from chdb.state.sqlitelike import Connection

from analytics.analysts.functions import CATALOGUE, OpenFunctions
from analytics.analysts.refusals import BAD_REQUEST, SYNTAX_ERROR, TOO_MANY_BYTES, Refused, of_engine
from analytics.analysts.rules import Rules

FORMAT_USUAL: Final = "TabSeparated"
NESTING_MAX: Final = 120
"""Of a query's syntax, so that neither parser nor JSON reader go too deep."""

PRIORITY: Final = 15
"""As `nice`: what ingest and the services need comes first. The engine does this only where it may also undo it
(CAP_SYS_NICE); elsewhere one thread a query and two queries at once are all that keeps them apart."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one query."""

    seconds_max: int = 30
    memory_max_bytes: int = 500_000_000
    result_rows_max: int = 1_000_000
    result_max_bytes: int = 100_000_000
    """In the engine, and again as it is written: a few bytes can be many in XML."""
    read_rows_max: int = 1_000_000_000

    def settings(self) -> Mapping[str, int | str]:
        return {
            "max_execution_time": self.seconds_max,
            "max_memory_usage": self.memory_max_bytes,
            "max_bytes_ratio_before_external_group_by": 0,
            "max_bytes_ratio_before_external_sort": 0,
            "max_rows_to_read": self.read_rows_max,
            "max_result_rows": self.result_rows_max,
            "max_result_bytes": self.result_max_bytes,
            "result_overflow_mode": "throw",
            "max_threads": 1,
            "max_parser_depth": NESTING_MAX,
            "max_ast_depth": 500,
            # Making automata of many patterns is one long step that nothing ends.
            "max_hyperscan_regexp_length": 1_000,
            "max_hyperscan_regexp_total_length": 10_000,
            "os_thread_priority": PRIORITY,
            "do_not_merge_across_partitions_select_final": 1,
            "implicit_select": 0,
            "allow_ddl": 0,
            "allow_introspection_functions": 0,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """A query, with the values of its parameters as HTTP brings them (tab-separated escapes)."""

    sql: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    """Of the answer when the query names none. Empty: TabSeparated."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result, and what it took."""

    body: bytes
    format: str
    rows: int
    read_rows: int
    read_bytes: int
    seconds: float


def open_functions(connection: Connection) -> OpenFunctions:
    """What the engine can, and analysts may."""
    return OpenFunctions(json.loads(line) for line in _query(connection, CATALOGUE, "JSONCompactEachRow"))


def answer(connection: Connection, question: Question, rules: Rules, bounds: Bounds, tag: str) -> Answer:
    """Judges the question and asks it. `tag` is how `kill` finds it. Raises Refused."""
    _prepare(connection, rules, bounds, tag)
    named = rules.simple_format(question.sql)
    if named is None:
        named = rules.check(_tree(connection, question.sql))
    chosen = named or question.format or FORMAT_USUAL
    try:
        result = connection.query(question.sql, chosen, params=dict(question.parameters))
    except (ChdbError, RuntimeError) as error:
        raise of_engine(str(error)) from None
    if result.size() > bounds.result_max_bytes:
        raise Refused(
            TOO_MANY_BYTES,
            f"The result has {result.size()} bytes in the format {chosen}, {bounds.result_max_bytes} at most are sent.",
        )
    return Answer(
        body=result.bytes() or b"",
        format=chosen,
        rows=result.rows_read(),
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        seconds=result.elapsed(),
    )


def kill(connection: Connection, tag: str) -> None:
    """Ends what runs under this tag, if anything does; it need not have ended when this returns."""
    connection.query(f"KILL QUERY WHERE Settings['log_comment'] = '{tag}' ASYNC", "Null")


def _prepare(connection: Connection, rules: Rules, bounds: Bounds, tag: str) -> None:
    settings = {**bounds.settings(), "log_comment": tag}
    connection.query(f"USE {rules.database}", "Null")
    connection.query("SET " + ", ".join(f"{name} = '{value}'" for name, value in settings.items()), "Null")
    # Last, as it forbids to set anything afterwards.
    connection.query("SET readonly = 1", "Null")


def _tree(connection: Connection, sql: str) -> Any:
    """The engine's own syntax tree; nothing runs. Raises Refused for what is no single statement."""
    escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    try:
        lines = _query(connection, "SELECT parseQueryToJSON({sql:String})", "TSVRaw", {"sql": escaped})
        return json.loads(lines[0])
    except (ChdbError, RuntimeError) as error:
        refused = of_engine(str(error))
        if refused.code == BAD_REQUEST:  # it parses, but is of another kind
            return {"type": "other"}
        raise refused from None
    except (RecursionError, ValueError):
        raise Refused(SYNTAX_ERROR, "The query is nested too deeply.", "SYNTAX_ERROR") from None


def _query(
    connection: Connection, sql: str, wanted: str, parameters: Mapping[str, str] | None = None
) -> list[bytes]:
    result: bytes = connection.query(sql, wanted, params=dict(parameters or {})).bytes()
    return result.splitlines()
