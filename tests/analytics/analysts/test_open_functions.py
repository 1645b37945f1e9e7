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


def test_the_mere_name_of_a_closed_function_is_closed_too() -> None:
    rows = [
        ("file", "", 0, "Other"),
        ("FILE_TEXT", "file", 0, ""),
        ("lower", "", 0, "String"),
        ("sum", "", 1, ""),
        ("formatRow", "", 0, "Type Conversion"),
        ("formatLine", "formatRow", 0, ""),
        ("aggThrow", "", 1, ""),
        ("arrayReduce", "", 0, "Arrays"),
        ("reduceArray", "arrayReduce", 0, ""),
    ]
    ours = OpenFunctions(rows)
    assert all(
        ours.is_closed(name)
        for name in ("File", "file_text", "formatRow", "formatLine", "aggThrow", "arrayreduce", "reduceArray")
    )
    assert not any(ours.is_closed(name) for name in ("lower", "sum", "seq", "sumIf"))
    assert not any(ours.has(name) for name in ("formatLine", "aggThrow", "aggThrowIf"))
    assert ours.has("reduceArray")
    assert ours.takes_a_name("reduceArray")
    assert ours.aggregates("sumIf")
    assert not ours.aggregates("lower")
