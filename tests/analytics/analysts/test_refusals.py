"""What of the engine's words is passed on."""

from __future__ import annotations

import time

import pytest

from analytics.analysts import refusals


def test_only_codes_about_the_query_come_with_the_engines_text() -> None:
    told = refusals.of_engine(
        "Code: 47. DB::Exception: Unknown `x` in /srv/a/b/store/x.bin (UNKNOWN_IDENTIFIER)"
    )
    assert str(told) == "Code: 47. DB::Exception: Unknown `x` in ... (UNKNOWN_IDENTIFIER)"
    for kept in (
        "Code: 49999. DB::Exception: secret /srv/x (LOGICAL_ERROR)",
        "Code: 74. DB::Exception: Cannot read from file /srv/x (CANNOT_READ_FROM_FILE_DESCRIPTOR)",
        "Python says secret",
    ):
        assert "secret" not in str(refusals.of_engine(kept))
        assert "/srv" not in str(refusals.of_engine(kept))
    deep = "Code: 306. DB::Exception: Stack size too large. Stack address: 0x7fe6d6c36000, x. (TOO_DEEP_RECURSION)"
    assert str(refusals.of_engine(deep)) == (
        "Code: 306. DB::Exception: Stack size too large. (TOO_DEEP_RECURSION)"
    )
    nested = "Code: 241. DB::Exception: Code: 241. DB::Exception: Limit. (MEMORY) (version 1.2). (MEMORY)"
    assert str(refusals.of_engine(nested)) == "Code: 241. DB::Exception: Limit. (MEMORY)"


@pytest.mark.parametrize(
    "filling", [" ", "(", "(A", "/", "/a", "(version ", "Code: 1. DB::Exception: ", "\n"]
)
def test_a_long_text_is_told_soon_and_in_part(filling: str) -> None:
    """While a pattern looks, nothing else of the process goes on: it must not take the square of the length."""
    long = filling * (refusals.TEXT_MAX * 60 // len(filling))
    began = time.monotonic()
    told = refusals.of_engine(f"Code: 47. DB::Exception: Unknown `x` '{long}x' (UNKNOWN_IDENTIFIER)")
    assert time.monotonic() - began < 5
    assert (told.code, told.name, len(told.text) <= refusals.TEXT_MAX) == (47, "UNKNOWN_IDENTIFIER", True)
    assert told.text.startswith("Unknown `x` '")
