"""The replica of a book, without a network."""

import random
from typing import Any

import orjson

from engine.published_book import Book, BookMessage, Figures, book_message, checksum
from ws_service import frames
from ws_service.bus_messages import status_message, trade_message

FIGURES = Figures(1, 500_000, 0, 0, 0, "ACTIVE")
MARKET = "0190a000-0000-7000-8000-000000000001"


def new_book() -> Book:
    return Book(
        epoch=7,
        seq=1042,
        time=1_700_000_000_000_000,
        bids={630_000: 120_000_000, 625_000: 240_000_000},
        asks={640_000: 280_000_000, 635_000: 140_000_000},
        pool_yes_micros=368_421_053,
        pool_no_micros=631_578_947,
    )


def change(prev_seq: int, seq: int, epoch: int = 7, **sides: Any) -> BookMessage:
    return BookMessage(epoch, prev_seq, seq, seq, sides.get("bids", {}), sides.get("asks", {}), 1, 2, FIGURES)


def test_the_checksum_is_the_published_one() -> None:
    assert new_book().checksum() == 2_423_766_841
    assert checksum([], []) == checksum(iter(()), iter(()))


def test_the_checksum_covers_ten_levels_a_side() -> None:
    asks = [(price * 10_000, 1) for price in range(60, 75)]
    assert checksum([], asks) == checksum([], asks[:10])
    assert checksum([], asks) != checksum([], asks[:9])


def test_changes_are_merged_into_one_delta_that_chains() -> None:
    book = new_book()
    book.apply(change(1042, 1043, bids={630_000: 5}))
    book.apply(change(1043, 1045, bids={630_000: 0}, asks={700_000: 9}))
    assert book.is_ahead
    delta = book.take_delta()
    assert (delta.prev_seq, delta.bids, delta.asks) == (1042, [(630_000, 0)], [(700_000, 9)])
    assert (book.published_seq, book.is_ahead) == (1045, False)
    assert book.take_delta().prev_seq == 1045


def test_what_was_seen_before_changes_nothing() -> None:
    book = new_book()
    book.apply(change(1000, 1042, bids={1: 1}))
    book.apply(change(1042, 1050, epoch=6, bids={1: 1}))
    assert (book.seq, book.bids) == (1042, new_book().bids)


def test_a_message_that_spans_the_book_fits_and_one_beyond_it_is_a_gap() -> None:
    book = new_book()
    assert not book.is_gap(change(1040, 1044))
    assert book.is_gap(change(1043, 1044))
    assert book.is_gap(change(1042, 1043, epoch=8))
    book.apply(change(1040, 1044, asks={635_000: 0}))
    assert book.best_asks() == [(640_000, 280_000_000)]


def test_a_reader_of_deltas_ends_where_the_book_is() -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    book = new_book()
    bids, asks = dict(book.bids), dict(book.asks)
    for _ in range(500):
        levels = {chance.randrange(1, 100) * 10_000: chance.choice((0, 0, 5, 7)) for _ in range(3)}
        side = chance.choice(("bids", "asks"))
        book.apply(change(book.seq, book.seq + chance.randrange(1, 4), **{side: levels}))  # type: ignore[arg-type]
        if chance.random() < 0.3:
            delta = book.take_delta()
            for mine, changes in ((bids, delta.bids), (asks, delta.asks)):
                for price, quantity in changes:
                    mine[price] = quantity
                    if not quantity:
                        del mine[price]
            assert checksum(sorted(bids.items(), reverse=True), sorted(asks.items())) == book.checksum(), seed
            assert (bids, asks) == (book.bids, book.asks), seed


def test_frames_look_as_published() -> None:
    frame = frames.snapshot(MARKET, new_book())
    assert frame[0] == 0x81
    assert frame[1] == 126
    assert int.from_bytes(frame[2:4], "big") == len(frame) - 4
    document = orjson.loads(frame[4:])
    assert document["type"] == "book.snapshot"
    assert document["bids"] == [[630_000, 120_000_000], [625_000, 240_000_000]]
    assert document["asks"] == [[635_000, 140_000_000], [640_000, 280_000_000]]
    assert (document["checksum"], document["time"]) == (2_423_766_841, "2023-11-14T22:13:20.000000Z")


def test_frames_have_the_length_their_header_says() -> None:
    for length in (0, 125, 126, 65_535, 65_536):
        frame = frames.framed(b"x" * length)
        header = {True: 2}.get(length < 126, 4 if length < 65_536 else 10)
        assert len(frame) == header + length


def test_the_bus_is_read_as_agreed() -> None:
    book = book_message(
        orjson.dumps(
            {
                "market_id": MARKET,
                "epoch": 7,
                "prev_seq": 1,
                "seq": 3,
                "time": 5,
                "levels": [[600_000, 7, "bid"], [610_000, 0, "ask"]],
                "pool": {"yes_micros": 1, "no_micros": 2},
                "probability_micros": 666_666,
                "last_price_micros": 600_000,
                "collateral_micros": 9,
                "volume_micros": 4,
                "status": "ACTIVE",
            }
        )
    )
    assert book == BookMessage(
        7, 1, 3, 5, {600_000: 7}, {610_000: 0}, 1, 2, Figures(3, 666_666, 600_000, 9, 4, "ACTIVE")
    )
    trade = trade_message(b'{"prev_seq": 0, "seq": 4, "trades": [{"trade_id": "t", "time": 1}]}')
    assert trade.trades == ({"trade_id": "t", "time": "1970-01-01T00:00:00.000001Z"},)
    status = status_message(
        b'{"market_id": "m", "seq": 4, "time": 1, "status": "PAUSED", "reason": "", "outcome": "", "closes_at": 0}'
    )
    assert status.fields["closes_at"] is None
