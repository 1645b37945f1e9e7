"""The topics: an event's messages are the same whoever makes them, chained per topic, and stay small."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from db_service.store import loading
from db_service.topics import reading
from db_service.topics.build import messages_of
from db_service.topics.head import MarketHead, checkpoint_of, head_of
from db_service.topics.messages import PART_BYTES_MAX, Envelope, TopicMessage, in_parts
from engine.commands import TREASURY_ID, system_stream_id
from engine.events import decode
from engine.state import Outcome
from runtime.postgres import Connection
from runtime.topics import Topic
from tests.db_service.shard import ALICE, BOB, Shard, played

PAGE = Path(__file__).resolve().parents[2] / "docs" / "topics.md"
ENVELOPE = {"market_id", "seq", "prev_seq", "part", "parts", "time"}


async def read_all(connection: Connection, market_id: str, after_seq: int, to_seq: int) -> list[TopicMessage]:
    made: list[TopicMessage] = []
    async for some in reading.read_messages(connection, market_id, after_seq=after_seq, to_seq=to_seq):
        made.extend(some)
    return made


async def folded(connection: Connection, market_id: str) -> list[TopicMessage]:
    """All messages of a market, made as the relay makes them: event after event."""
    rows = await connection.fetch(
        "SELECT payload, hash FROM events WHERE market_id = $1 ORDER BY seq", market_id
    )
    head = MarketHead(market_id)
    made: list[TopicMessage] = []
    for row in rows:
        event = decode(row["payload"])
        made.extend(messages_of(event, row["hash"], head, await loading.orders_of(connection, [event])))
    return made


async def test_messages_read_from_anywhere_are_the_bytes_that_were_published(
    writer: Connection, rows: Connection
) -> None:
    shard, market_id = await played(writer)
    last = shard.state.markets[market_id].market.seq
    published = await folded(rows, market_id)
    assert await read_all(rows, market_id, 0, last) == published
    for after_seq in range(last):
        expected = [message for message in published if after_seq < message.seq <= last - 1]
        assert await read_all(rows, market_id, after_seq, last - 1) == expected


async def test_every_topic_is_chained_by_itself(writer: Connection, rows: Connection) -> None:
    shard, _ = await played(writer)
    for market_id in shard.state.markets:
        last: dict[Topic, int] = defaultdict(int)
        for message in await folded(rows, market_id):
            body = json.loads(message.body)
            assert {name: body[name] for name in ("market_id", "seq", "prev_seq", "part", "parts")} == {
                "market_id": market_id,
                "seq": message.seq,
                "prev_seq": last[message.topic],
                "part": 1,
                "parts": 1,
            }
            last[message.topic] = message.seq
        assert last[Topic.MARKET_EVENTS] == shard.state.markets[market_id].market.seq


async def test_market_events_have_every_event_and_the_ledger_sums_to_zero(
    writer: Connection, rows: Connection
) -> None:
    shard, _ = await played(writer)
    ledger = []
    for market_id in shard.state.markets:
        told = [m for m in await folded(rows, market_id) if m.topic is Topic.MARKET_EVENTS]
        assert [message.seq for message in told] == list(range(1, len(told) + 1))
        for message in told:
            body = json.loads(message.body)
            assert body["hash"] == await rows.fetchval(
                "SELECT hash FROM events WHERE market_id = $1 AND seq = $2", market_id, message.seq
            )
            for column in ("points_micros", "yes_micros", "no_micros"):
                assert sum(row[column] for row in body["ledger"]) == 0
            ledger += [
                (market_id, message.seq, row["user_id"], row["points_micros"]) for row in body["ledger"]
            ]
    stored = await rows.fetch("SELECT market_id, event_seq, user_id, points_micros FROM trade_ledger")
    assert sorted(map(str, ledger)) == sorted(
        str((str(r[0]), r[1], None if r[2] is None else str(r[2]), r[3])) for r in stored
    )


async def test_prices_and_orders_are_those_of_the_rows(writer: Connection, rows: Connection) -> None:
    shard, market_id = await played(writer)
    state = shard.state.markets[market_id]
    told = await folded(rows, market_id)
    price = json.loads([m for m in told if m.topic is Topic.PRICE_UPDATES][-1].body)
    market = state.market
    assert price["probability_micros"] == market.probability_micros
    assert (price["pool_yes_micros"], price["pool_no_micros"]) == (market.pool_yes, market.pool_no)
    assert (price["best_bid_micros"], price["best_ask_micros"], price["mid_micros"]) == (
        520_000,
        530_000,
        525_000,
    )
    assert (price["book_bid_micros"], price["book_ask_micros"]) == (None, 700_000)
    last_of: dict[str, dict[str, Any]] = {}
    for message in told:
        if message.topic is Topic.ORDER_EVENTS:
            last_of |= {row["order_id"]: row for row in json.loads(message.body)["orders"]}
    for row in await rows.fetch("SELECT * FROM orders WHERE market_id = $1", market_id):
        shown = last_of.pop(str(row["order_id"]))
        assert shown["user_id"] == str(row["user_id"])
        assert (shown["status"], shown["filled_micros"]) == (row["status"], row["filled_micros"])
        assert (shown["locked_micros"], shown["fee_micros"]) == (
            row["locked_points_micros"],
            row["fee_micros"],
        )
    assert not last_of


async def test_fills_and_trades_are_those_of_the_rows(writer: Connection, rows: Connection) -> None:
    _, market_id = await played(writer)
    told = [json.loads(m.body) for m in await folded(rows, market_id) if m.topic is Topic.FILLS]
    trades = {(body["seq"], row["trade_index"]): row for body in told for row in body["trades"]}
    fills = {(body["seq"], row["fill_index"]): row for body in told for row in body["fills"]}
    stored = await rows.fetch("SELECT * FROM trades WHERE market_id = $1", market_id)
    assert {(r["seq"], r["trade_index"]): (str(r["trade_id"]), r["kind"]) for r in stored} == {
        key: (row["trade_id"], row["kind"]) for key, row in trades.items()
    }
    stored = await rows.fetch("SELECT * FROM fills WHERE market_id = $1", market_id)
    assert {(r["seq"], r["fill_index"]): (str(r["user_id"]), r["fee_micros"]) for r in stored} == {
        key: (row["user_id"], row["fee_micros"]) for key, row in fills.items()
    }
    booked = [row for row in trades.values() if row["venue"] == "BOOK"]
    assert booked
    assert all({row["maker_user_id"], row["taker_user_id"]} == {ALICE, BOB} for row in booked)


async def test_a_checkpoint_is_where_folding_may_begin(writer: Connection, rows: Connection) -> None:
    shard, market_id = await played(writer)
    last = shard.state.markets[market_id].market.seq
    head = await reading.head_at(rows, market_id, last - 2)
    assert head_of(checkpoint_of(head).text) == head
    expected = await read_all(rows, market_id, last - 1, last)
    await reading.save_checkpoints(writer, [checkpoint_of(head)])
    await rows.execute("DELETE FROM events WHERE market_id = $1 AND seq <= $2", market_id, head.seq)
    assert await read_all(rows, market_id, last - 1, last) == expected


def test_a_large_message_is_divided_and_no_row_is_lost() -> None:
    envelope = Envelope(Topic.MARKET_EVENTS, "m", 7, 6, 0)
    rows = {
        "ledger": [{"ledger_index": index, "text": "x" * 300} for index in range(2_000)],
        "payouts": [{"payout_index": index, "text": "y" * 300} for index in range(2_000)],
    }
    parts = in_parts(envelope, {"kind": "PAY_HOLDERS"}, rows)
    assert len(parts) == 3
    assert all(len(part.body) < PART_BYTES_MAX for part in parts)
    bodies = [orjson.loads(part.body) for part in parts]
    assert [(body["part"], body["parts"]) for body in bodies] == [(1, 3), (2, 3), (3, 3)]
    assert len({part.message_id for part in parts}) == 3
    for name, items in rows.items():
        assert [item for body in bodies for item in body[name]] == items


async def test_an_order_that_takes_hundreds_of_others_is_told_in_parts(
    writer: Connection, rows: Connection
) -> None:
    shard = Shard(writer)
    makers = [str(uuid4()) for _ in range(4)]
    await shard.grant(TREASURY_ID, 1_000_000)
    for user_id in (ALICE, *makers):
        await shard.grant(user_id, 10_000)
    market_id = await shard.market()
    for number in range(600):
        await shard.buy(market_id, makers[number % 4], Outcome.NO, 480_000, 1)
    await shard.buy(market_id, ALICE, Outcome.YES, 520_000, 650)
    last = shard.state.markets[market_id].market.seq
    told = await read_all(rows, market_id, last - 1, last)
    fills = [message for message in told if message.topic is Topic.FILLS]
    assert len(fills) > 1
    assert all(len(message.body) < PART_BYTES_MAX for message in told)
    bodies = [json.loads(message.body) for message in fills]
    assert [(body["part"], body["parts"]) for body in bodies] == [
        (part, len(fills)) for part in range(1, len(fills) + 1)
    ]
    for name, index in (("trades", "trade_index"), ("fills", "fill_index")):
        told_rows = [row for body in bodies for row in body[name]]
        assert [row[index] for row in told_rows] == list(range(len(told_rows)))
        stored = await rows.fetchval(f"SELECT count(*) FROM {name} WHERE market_id = $1", market_id)
        assert len(told_rows) == stored > 600


def shape(value: Any) -> Any:
    """Names and kinds of a JSON value; null fits what is there elsewhere, so it is left out."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None if value is None else type(value).__name__


def agree(told: Any, documented: Any) -> bool:
    if isinstance(told, dict) and isinstance(documented, dict):
        return told.keys() == documented.keys() and all(agree(told[name], documented[name]) for name in told)
    if isinstance(told, list) and isinstance(documented, list):
        return not told or not documented or agree(told[0], documented[0])
    return told is None or documented is None or told == documented


async def test_the_documented_examples_have_the_shape_of_real_messages(
    writer: Connection, rows: Connection
) -> None:
    page = PAGE.read_text()
    shard, _ = await played(writer)
    told = [m for market_id in shard.state.markets for m in await folded(rows, market_id)]
    assert system_stream_id(0) in {message.market_id for message in told}
    for topic in Topic:
        section = page.split(f"## {topic}\n")[1]
        match = re.search(r"```json\n(.*?)```", section, re.DOTALL)
        assert match, f"no example of {topic}"
        example = json.loads(match[1])
        assert example.keys() >= ENVELOPE
        real = [json.loads(message.body) for message in told if message.topic is topic]
        assert len(real) >= 2
        for body in real:
            assert agree(shape(body), shape(example)), (topic, body)
