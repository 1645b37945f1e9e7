"""What clients may say."""

import pytest

from runtime.errors import ApiError
from ws_service.commands import Ping, Subscribe, command_of, id_of

MARKET = "0190a000-0000-7000-8000-000000000001"

REFUSED = [
    "",
    "no",
    "[]",
    "null",
    '{"cmd": "dance"}',
    '{"id": 1}',
    '{"cmd": "subscribe"}',
    '{"cmd": "subscribe", "channel": "book", "market_ids": []}',
    '{"cmd": "subscribe", "channel": "book", "market_ids": ["*"]}',
    '{"cmd": "subscribe", "channel": "weather", "market_ids": ["*"]}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": ["{MARKET.upper()}"]}}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": ["{MARKET}"], "depth": 0}}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": ["{MARKET}"], "colour": 1}}',
    f'{{"cmd": "subscribe", "channel": "book", "market_ids": "{MARKET}"}}',
    '{"cmd": "ping", "id": 1.5}',
    '{"cmd": "ping", "id": true}',
    '{"cmd": "ping", "id": {"a": 1}}',
    '{"cmd": "ping", "id": "' + "x" * 65 + '"}',
    '{"cmd": "ping", "id": "\\ud800"}',
    "[" * 30_000,
]


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ApiError):
        command_of(text)


def test_commands_are_read() -> None:
    text = f'{{"id": 1, "cmd": "subscribe", "channel": "book", "market_ids": ["{MARKET}"], "depth": 50}}'
    assert command_of(text) == Subscribe(id=1, channel="book", market_ids=[MARKET], depth=50)
    assert command_of('{"cmd": "ping"}') == Ping()


def test_a_refused_command_keeps_its_id_where_it_has_one() -> None:
    assert id_of('{"id": 7, "cmd": "dance"}') == 7
    assert id_of("no") is None
