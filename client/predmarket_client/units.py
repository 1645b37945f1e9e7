"""Points and micros, without floats: 1 Point = 1 share = 1,000,000 micros."""

import re

POINT_MICROS = 1_000_000
_DECIMALS = 6
_NUMBER = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,6}))?")


def micros(points: str | int) -> int:
    """`micros("0.62") == 620_000`, `micros(5) == 5_000_000`. Raises ValueError for more than six decimals.

    A float is refused with TypeError: 0.1 + 0.2 is not 0.3, and it is money.
    """
    if isinstance(points, bool) or not isinstance(points, str | int):
        raise TypeError(f"an amount is a text or an int, not {type(points).__name__}")
    if isinstance(points, int):
        return points * POINT_MICROS
    match = _NUMBER.fullmatch(points)
    if match is None:
        raise ValueError(f"{points[:50]!r} is not a number of Points such as 12.5")
    sign, whole, fraction = match.groups()
    value = int(whole) * POINT_MICROS + int((fraction or "").ljust(_DECIMALS, "0"))
    return -value if sign else value


def points(amount_micros: int) -> str:
    """`points(620_000) == "0.62"`: exact, without zeros that say nothing."""
    sign = "-" if amount_micros < 0 else ""
    whole, fraction = divmod(abs(amount_micros), POINT_MICROS)
    decimals = f"{fraction:06d}".rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def opposite_price(price_micros: int) -> int:
    """A YES bid at p is a NO ask at 1 - p."""
    return POINT_MICROS - price_micros
