"""A message of a topic, and how a large one is divided into parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from runtime.clock import to_rfc3339
from runtime.topics import Topic

PART_BYTES_MAX: Final = 512 * 1024
"""No message is larger; NATS and Kafka both take 1 MiB by default."""


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """One part of what a topic says of one event. `body` is JSON, the same bytes whenever it is made again."""

    topic: Topic
    market_id: str
    seq: int
    prev_seq: int
    """The market's last event before this one that has messages in this topic; 0: none."""
    part: int
    """1..parts; all but the last of an event's parts say that more follow."""
    parts: int
    body: bytes

    @property
    def message_id(self) -> str:
        """Names the message for ever, for buses that drop repeats."""
        return f"{self.topic}:{self.market_id}:{self.seq}:{self.part}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every message of an event begins with. `time` is micros since the epoch."""

    topic: Topic
    market_id: str
    seq: int
    prev_seq: int
    time: int


Rows = Mapping[str, Sequence[Any]]


def in_parts(
    envelope: Envelope, once: Mapping[str, Any], rows: Rows, *, bytes_max: int = PART_BYTES_MAX
) -> list[TopicMessage]:
    """The message, or its parts, in order. `once` is repeated in each; the lists of `rows` are divided among them.

    `once` and any single row must be well below `bytes_max`: the events they come from are.
    """
    whole = _body(envelope, 1, 1, once, rows)
    if len(whole) < bytes_max:
        return [_message(envelope, 1, 1, whole)]
    empty = _body(envelope, 9_999, 9_999, once, {name: [] for name in rows})
    shares = list(_shares(rows, bytes_max - len(empty)))
    return [
        _message(envelope, part, len(shares), _body(envelope, part, len(shares), once, share))
        for part, share in enumerate(shares, 1)
    ]


def _shares(rows: Rows, room: int) -> Iterator[dict[str, list[Any]]]:
    """The rows in order, in shares whose JSON stays below `room` bytes; each share names every list."""
    share: dict[str, list[Any]] = {name: [] for name in rows}
    left = room
    for name, items in rows.items():
        for item in items:
            size = len(orjson.dumps(item)) + 1
            assert size < room, "a row never fills a message"
            if size >= left:
                yield share
                share, left = {name: [] for name in rows}, room
            share[name].append(item)
            left -= size
    yield share


def _body(envelope: Envelope, part: int, parts: int, once: Mapping[str, Any], rows: Rows) -> bytes:
    return orjson.dumps(
        {
            "market_id": envelope.market_id,
            "seq": envelope.seq,
            "prev_seq": envelope.prev_seq,
            "part": part,
            "parts": parts,
            "time": to_rfc3339(envelope.time),
            **once,
            **rows,
        }
    )


def _message(envelope: Envelope, part: int, parts: int, body: bytes) -> TopicMessage:
    return TopicMessage(
        envelope.topic, envelope.market_id, envelope.seq, envelope.prev_seq, part, parts, body
    )
