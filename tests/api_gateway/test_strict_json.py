"""JSON has one meaning here."""

import pytest

from api_gateway import strict_json
from runtime.errors import ApiError, ErrorCode

REFUSED = {
    "nan": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "fraction": b'{"a": 1.0}',
    "exponent": b'{"a": 1e3}',
    "huge exponent": b'{"a": 1e999}',
    "beyond 64 bits": b'{"a": 9223372036854775808}',
    "very long integer": b'{"a": ' + b"9" * 5_000 + b"}",
    "same key twice": b'{"a": 1, "a": 1}',
    "same key twice inside": b'{"b": [{"a": 1, "\\u0061": 2}]}',
    "nul": b'{"a": "x\\u0000"}',
    "nul in a key": b'{"\\u0000": 1}',
    "lone surrogate": b'{"a": "\\ud800"}',
    "surrogates the wrong way round": b'{"a": "\\udc00\\ud800"}',
    "not utf-8": b'{"a": "\xff"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "too deep": b'{"a":' * 9 + b"1" + b"}" * 9,
    "absurdly deep": b"[" * 30_000 + b"]" * 30_000,
    "trailing text": b"{} {}",
    "single quotes": b"{'a': 1}",
    "comment": b"{} // no",
    "half": b'{"a"',
    "control character": b'{"a": "\n"}',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_one_plain_json_text_is_refused(text: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        strict_json.parse(text)
    assert refused.value.code is ErrorCode.MALFORMED_REQUEST


def test_plain_json_is_itself() -> None:
    text = '{"a": [1, -2, true, null, "é😀"], "b": {"c": 9223372036854775807}}'.encode()
    assert strict_json.parse(text) == {
        "a": [1, -2, True, None, "é😀"],
        "b": {"c": 9_223_372_036_854_775_807},
    }


def test_an_empty_body_is_an_empty_object_and_a_list_is_none() -> None:
    assert strict_json.parse_object(b" ") == {}
    with pytest.raises(ApiError):
        strict_json.parse_object(b"[]")
