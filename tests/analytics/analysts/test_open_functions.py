"""Functions that a new engine brings stay closed."""

from __future__ import annotations

from analytics.analysts.functions import OpenFunctions


def test_a_kind_of_function_that_is_new_is_closed() -> None:
    rows = [
        ("lower", "", 0, "String"),
        ("lcase", "lower", 0, ""),
        ("dream", "", 0, "Dreams"),
        ("both", "", 0, "String,Dreams"),
        ("nothing", "", 0, ""),
        ("sum", "", 1, ""),
        ("file", "", 0, "Other"),
    ]
    open_ones = OpenFunctions(rows)
    assert all(
        open_ones.has(name) for name in ("LOWER", "lcase", "sum", "sumIf", "sumMergeStateOrNull", "lambda")
    )
    assert not any(open_ones.has(name) for name in ("dream", "both", "nothing", "file", "If", "sumFile", ""))
