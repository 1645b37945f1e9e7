"""JSON from clients, read strictly: one meaning per text, nothing that a service behind us would have to refuse.

Refused, all as MALFORMED_REQUEST: what is not UTF-8 JSON, NaN and Infinity, any number with a fraction or exponent,
integers beyond 64 bits, a key twice in one object, NUL and lone surrogates, and nesting deeper than any body needs.
"""

import json
from typing import Any, Never

import orjson

from runtime.errors import ApiError, ErrorCode

DEPTH_MAX = 8
INTEGER_DIGITS_MAX = 19
INTEGER_MAX = 2**63 - 1


class _Refused(ValueError):
    """The message is ours and may be shown."""


def parse(text: bytes) -> Any:
    """The value of a JSON text. Raises ApiError."""
    try:
        # orjson is the strict judge of syntax, UTF-8, surrogates and depth; it keeps silent about repeated keys.
        value = orjson.loads(text)
        if not _is_plain(text, value):
            value = _DECODER.decode(text.decode("utf-8"))
            _check(value, DEPTH_MAX)
    except _Refused as error:
        raise ApiError(ErrorCode.MALFORMED_REQUEST, str(error)) from None
    except (ValueError, RecursionError):
        raise ApiError(ErrorCode.MALFORMED_REQUEST, "the text is not JSON") from None
    return value


def _is_plain(text: bytes, value: Any) -> bool:
    """Whether nothing needs a closer look: a flat object of texts, integers, true, false and null, each key once.

    Without a backslash each text stands between two quotes, so a key that came twice leaves quotes over.
    """
    if type(value) is not dict or b"\\" in text:
        return False
    texts = len(value)
    for part in value.values():
        kind = type(part)
        if kind is str:
            texts += 1
        elif kind is int:
            if not -INTEGER_MAX <= part <= INTEGER_MAX:
                return False
        elif kind is not bool and part is not None:
            return False
    return text.count(b'"') == 2 * texts


def parse_object(text: bytes) -> dict[str, Any]:
    """The object of a JSON text; an empty text is an empty object. Raises ApiError."""
    value = parse(text) if text.strip() else {}
    if not isinstance(value, dict):
        raise ApiError(ErrorCode.MALFORMED_REQUEST, "the text is not a JSON object")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("an object has the same key twice")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS_MAX:
        raise _Refused("an integer is too large")
    value = int(digits)
    if not -INTEGER_MAX <= value <= INTEGER_MAX:
        raise _Refused("an integer is too large")
    return value


def _number(_text: str) -> Never:
    raise _Refused("every number is an integer, without fraction or exponent")


def _constant(_text: str) -> Never:
    raise _Refused("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _check(value: Any, depth_left: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise _Refused("a text has a NUL character")
    elif isinstance(value, dict | list):
        if depth_left == 0:
            raise _Refused("the text is nested too deeply")
        if isinstance(value, dict):
            for key in value:
                _check(key, depth_left)
            value = list(value.values())
        for item in value:
            _check(item, depth_left - 1)
