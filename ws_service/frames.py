"""What the server says, as bytes on the wire: made once, written to every socket."""

from typing import Any

import orjson

from engine.published_book import Book, Delta
from runtime.clock import to_rfc3339
from runtime.errors import ApiError

TEXT = 0x81  # FIN and opcode 1
PING = 0x89


def framed(text: bytes) -> bytes:
    """A whole unmasked text frame (RFC 6455, 5.2); a server's frames are the same for every client."""
    length = len(text)
    if length < 126:
        return bytes((TEXT, length)) + text
    if length < 65_536:
        return bytes((TEXT, 126)) + length.to_bytes(2, "big") + text
    return bytes((TEXT, 127)) + length.to_bytes(8, "big") + text


def message(type_: str, /, **fields: Any) -> bytes:
    """One JSON object with its `type`."""
    return framed(orjson.dumps({"type": type_, **fields}))


def error(refusal: ApiError, request_id: int | str | None, **about: str) -> bytes:
    """A command that was refused; without an id, news of what is missing, `about` saying where."""
    return message(
        "error",
        id=request_id,
        code=str(refusal.code),
        message=refusal.message,
        retryable=refusal.code.retryable,
        **about,
    )


def snapshot(market_id: str, book: Book) -> bytes:
    """The whole book."""
    return message(
        "book.snapshot",
        market_id=market_id,
        epoch=book.epoch,
        seq=book.seq,
        time=to_rfc3339(book.time),
        bids=book.best_bids(),
        asks=book.best_asks(),
        pool={"yes_micros": book.pool_yes_micros, "no_micros": book.pool_no_micros},
        checksum=book.checksum(),
    )


def delta(market_id: str, book: Book, change: Delta) -> bytes:
    """What leads to the book from the frame before."""
    return message(
        "book.delta",
        market_id=market_id,
        epoch=book.epoch,
        prev_seq=change.prev_seq,
        seq=book.seq,
        time=to_rfc3339(book.time),
        bids=change.bids,
        asks=change.asks,
        pool={"yes_micros": book.pool_yes_micros, "no_micros": book.pool_no_micros},
        checksum=book.checksum(),
    )
