"""Texts that the engine evaluates: only the plainest pass."""

from __future__ import annotations

import pytest

from analytics.analysts import texts


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sum", "sum"),
        ("sumIf", "sumIf"),
        ("quantiles(0.5, 0.9)", "quantiles"),
        ("groupConcat('-')", "groupConcat"),
        ("sum()", None),
        ("groupConcat(hostName())", None),
        ("groupConcat('a' || hostName())", None),
        ("groupConcat('a\\'')", None),
        ("groupConcat((SELECT 1))", None),
        ("groupConcat(hostName)", None),
        ("groupConcat('-'), sum", None),
        ("ſum", None),
        ("sum\n", None),
        ("", None),
    ],
)
def test_an_aggregate_is_named_plainly_or_not_at_all(text: str, name: str | None) -> None:
    assert texts.aggregate_named(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "a Int8",
        "a Int8, `b` String,c Nullable(UInt256)",
        "a Array(Nullable(String)), b LowCardinality(String), c Decimal(18, 4), d FixedString(3)",
        "a DateTime64(6, 'Europe/Berlin'), b DateTime('UTC'), c Date32",
    ],
)
def test_names_and_types_are_a_plain_structure(text: str) -> None:
    assert texts.is_plain_structure(text)


@pytest.mark.parametrize(
    "text",
    [
        "a Int8 ALIAS 1",
        "a ALIAS hostName()",
        "a ALIAS(hostName())",
        "a Int8, b String MATERIALIZED hostName()",
        "a Int8 DEFAULT 1 IN system.one",
        "a Int8 EPHEMERAL",
        "a Int8 CODEC(ZSTD)",
        "a Int8 COMMENT 'x'",
        "a AggregateFunction(groupConcat(hostName()), String)",
        "a DateTime('UTC' || hostName())",
        "a Int8 /* , */ ALIAS 1",
        "a Int8 -- \n, b ALIAS 1",
        "a",
        "",
    ],
)
def test_whatever_else_a_structure_holds_is_not_plain(text: str) -> None:
    assert not texts.is_plain_structure(text)
