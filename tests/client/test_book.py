"""The book kept from frames: equal to the server's, or known to be in doubt; never silently wrong."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predmarket_client import ProtocolError
from predmarket_client.stream.book import Book, Verdict, checksum
from predmarket_client.stream.frames import Answer, BookDelta, BookSnapshot, Heartbeat, TradeFrame, frame_of
from tests.client.book_server import BookServer

BookFrame = BookSnapshot | BookDelta


def take(book: Book, frame: BookFrame) -> Verdict:
    return book.take_snapshot(frame) if isinstance(frame, BookSnapshot) else book.take_delta(frame)


def check(book: Book, server: BookServer) -> None:
    """What is shown is a state the server has had, under its number."""
    if book.is_current:
        assert (book.bids, book.asks) == server.states[book.epoch, book.seq]
    else:
        assert (book.bids, book.asks) == ((), ())


def test_the_published_checksum() -> None:
    bids, asks = (
        ((630_000, 120_000_000), (625_000, 240_000_000)),
        ((635_000, 140_000_000), (640_000, 280_000_000)),
    )
    assert checksum(bids, asks) == 2_423_766_841
    assert checksum((), ()) == checksum(iter(()), [])


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
def test_without_faults_every_frame_is_applied(seed: int, steps: int) -> None:
    server, book = BookServer(random.Random(seed)), Book()
    assert book.take_snapshot(server.snapshot()) is Verdict.CHANGED
    for _ in range(steps):
        assert book.take_delta(server.change()) is Verdict.CHANGED
        assert (book.bids, book.asks) == server.states[server.epoch, server.seq]


@settings(max_examples=300)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_dropped_repeated_and_reordered_frames_never_leave_a_wrong_book(
    data: st.DataObject, seed: int
) -> None:
    """The line holds frames back, sends them again, loses them; who is in doubt gets a snapshot, which may be late."""
    chance = random.Random(seed)
    server, book = BookServer(chance), Book()
    line: list[BookFrame] = [server.snapshot()]
    for action in data.draw(
        st.lists(st.sampled_from(["change", "take", "lose", "repeat", "mix", "epoch"]), max_size=80)
    ):
        if action == "change":
            line.append(server.change())
        elif action == "epoch":
            server.take_over()
        elif action == "mix":
            chance.shuffle(line)
        elif line:
            frame = line[0]
            if action != "repeat":
                line.pop(0)
            if action != "lose" and take(book, frame) is Verdict.DOUBT:
                line.append(server.snapshot())
        check(book, server)
    # The line is well again: what waits is delivered, and one snapshot at most makes it whole.
    for frame in [*line, server.change()]:
        take(book, frame)
        check(book, server)
    if not book.is_current or (book.epoch, book.seq) != (server.epoch, server.seq):
        assert book.take_snapshot(server.snapshot()) is Verdict.CHANGED
    assert (book.bids, book.asks) == server.states[server.epoch, server.seq]


@given(seed=st.integers(0, 2**32), side=st.sampled_from(["bids", "asks"]))
def test_a_frame_with_another_content_than_its_checksum_is_not_believed(seed: int, side: str) -> None:
    server, book = BookServer(random.Random(seed)), Book()
    book.take_snapshot(server.snapshot())
    delta = server.change()
    best = 499_999 if side == "bids" else 500_001
    forged = msgspec.structs.replace(delta, **{side: (*getattr(delta, side), (best, 7))})
    assert book.take_delta(forged) is Verdict.DOUBT
    assert not book.is_current
    assert book.take_snapshot(msgspec.structs.replace(server.snapshot(), bids=((1, 1),))) is Verdict.DOUBT
    assert book.take_snapshot(server.snapshot()) is Verdict.CHANGED


def test_another_epoch_asks_for_a_snapshot_and_older_ones_change_nothing() -> None:
    server, book = BookServer(random.Random(1)), Book()
    first = server.snapshot()
    book.take_snapshot(first)
    old_delta = server.change()
    book.take_delta(old_delta)
    server.take_over()
    assert book.take_delta(server.change()) is Verdict.DOUBT
    assert book.take_snapshot(first) is Verdict.DOUBT  # it never goes back in time
    assert book.take_snapshot(server.snapshot()) is Verdict.CHANGED
    assert book.take_delta(old_delta) is Verdict.IGNORED
    assert book.take_snapshot(first) is Verdict.IGNORED


def test_frames_are_read_strictly_and_unknown_ones_passed_over() -> None:
    assert frame_of('{"type": "heartbeat", "time": "x"}') == Heartbeat()
    assert frame_of('{"type": "subscribed", "id": 7, "channel": "book"}') == Answer("subscribed", 7)
    assert frame_of('{"type": "something.new", "x": 1}') == Answer("something.new", None)
    trade = frame_of(
        '{"type": "trade", "trade_id": "t", "market_id": "m", "seq": 5, "venue": "POOL", "kind": "POOL",'
        ' "outcome": "YES", "taker_side": "BUY", "price_micros": 1, "quantity_micros": 2,'
        ' "time": "2030-01-02T03:04:05.000006Z"}'
    )
    assert isinstance(trade, TradeFrame)
    assert trade.time.microsecond == 6
    for wrong in ("", "[]", "{}", '{"type": 1}', '{"type": "book.snapshot", "market_id": "m"}'):
        with pytest.raises(ProtocolError):
            frame_of(wrong)
