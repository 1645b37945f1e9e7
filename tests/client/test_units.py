"""Points and micros."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predmarket_client import micros, opposite_price, points


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.62", 620_000),
        ("12.5", 12_500_000),
        ("-0.000001", -1),
        ("7", 7_000_000),
        (5, 5_000_000),
        ("00.10", 100_000),
    ],
)
def test_texts_and_ints_become_micros(text: str | int, value: int) -> None:
    assert micros(text) == value


@given(st.integers(-(10**15), 10**15))
def test_what_is_shown_can_be_read_back(amount: int) -> None:
    assert micros(points(amount)) == amount


@pytest.mark.parametrize(
    "wrong", ["", ".", "1.", ".5", "1e3", "0.1234567", "+1", " 1", "１", "NaN", "1_000", "1" * 13]
)
def test_what_is_no_number_of_points_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        micros(wrong)


@pytest.mark.parametrize("wrong", [0.1, True, None])
def test_floats_are_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        micros(wrong)  # type: ignore[arg-type]


def test_a_yes_bid_is_a_no_ask_at_the_opposite_price() -> None:
    assert opposite_price(620_000) == 380_000
