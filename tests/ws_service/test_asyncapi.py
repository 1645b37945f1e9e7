"""docs/asyncapi.yaml: its structure, its examples, and frames of all services running."""

import re
from typing import Any

import aiohttp
import orjson
import pytest

from engine.published_book import checksum
from runtime.error_codes import ErrorCode
from tests.api_gateway.support import POINT, UNLIMITED, open_market, run_suite
from tests.ws_service import published
from ws_service import socket
from ws_service.commands import command_of
from ws_service.session import MESSAGE_MAX_BYTES, PROTOCOL

MESSAGES = published.document()["components"]["messages"]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []


def resolved(reference: str) -> Any:
    node: Any = published.document()
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        node = node[part]
    return node


def properties(node: Any) -> list[tuple[str, Any]]:
    """Every property of every schema in it."""
    if isinstance(node, list):
        return [found for value in node for found in properties(value)]
    if not isinstance(node, dict):
        return []
    own = list(node["properties"].items()) if isinstance(node.get("properties"), dict) else []
    return own + [found for value in node.values() for found in properties(value)]


def test_it_is_an_asyncapi_3_document_without_loose_ends() -> None:
    document = published.document()
    assert document["asyncapi"] == "3.0.0"
    assert {"info", "servers", "channels", "operations", "components"} <= set(document)
    for reference in references(document):
        assert resolved(reference) is not None
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
    assert set(document["channels"]["feed"]["messages"]) == set(MESSAGES)
    for key in MESSAGES:
        assert published.operation_of(key) in ("say", "hear")


def test_every_field_is_described_and_every_message_has_an_example() -> None:
    for name, schema in properties(published.document()["components"]):
        described = resolved(schema["$ref"]) if "$ref" in schema else schema
        assert described.get("description"), name
    for key, message in MESSAGES.items():
        assert message["summary"], key
        assert message["examples"], key


@pytest.mark.parametrize("key", MESSAGES)
def test_every_example_fits_its_schema(key: str) -> None:
    for example in MESSAGES[key]["examples"]:
        payload = example["payload"]
        if published.operation_of(key) == "say":
            published.check_command(payload)
            command_of(orjson.dumps(payload).decode())  # and the service takes it
        else:
            published.check_frame(payload)


def test_a_wrong_frame_does_not_fit() -> None:
    frame = MESSAGES["ticker"]["examples"][0]["payload"]
    for change in ({"seq": "1"}, {"surprise": 1}, {"best_bid_micros": -1}):
        with pytest.raises(AssertionError):
            published.check_frame({**frame, **change})
    with pytest.raises(AssertionError):
        published.check_frame({"type": "unheard of"})


def test_the_book_examples_are_the_published_vector() -> None:
    book = MESSAGES["book.snapshot"]["examples"][0]["payload"]
    delta = MESSAGES["book.delta"]["examples"][0]["payload"]
    assert book["checksum"] == checksum(book["bids"], book["asks"]) == 2_423_766_841
    assert delta["prev_seq"] == book["seq"]
    assert delta["checksum"] == checksum(book["bids"][1:], book["asks"])


def test_limits_and_close_codes_are_those_of_the_service() -> None:
    document = published.document()
    ours = {
        value
        for name, value in vars(socket).items()
        if re.fullmatch("CLOSE_[A-Z_]+", name) and name != "CLOSE_SECONDS"
    }
    assert set(document["x-close-codes"]) == ours | {1009}  # the library's own
    limits = MESSAGES["hello"]["examples"][0]["payload"]["limits"]
    assert limits["message_bytes"] == MESSAGE_MAX_BYTES
    assert MESSAGES["hello"]["payload"]["properties"]["protocol"]["const"] == PROTOCOL
    for example in MESSAGES["error"]["examples"]:
        assert example["payload"]["code"] in set(ErrorCode)


async def test_the_frames_of_the_running_services_fit(
    fresh_database: Any, nats_server: Any, redis_server: Any
) -> None:
    """Everything a trader hears: two orders that meet, one that rests, the pool, a cancelled one, the end."""
    settings = {"redis_url": redis_server.url, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as suite:
        admin, ann = await suite.admin(), await suite.user("ann")
        market_id = await open_market(admin)
        headers = {"Authorization": f"Bearer {ann.token}"}
        async with suite.http.ws_connect(suite.ws_url, headers=headers, protocols=(PROTOCOL,)) as feed:
            for number, channel in enumerate(("book", "trades", "ticker", "status")):
                command = {"id": number, "cmd": "subscribe", "channel": channel, "market_ids": [market_id]}
                await feed.send_json(command)
            await feed.send_json({"id": 9, "cmd": "subscribe", "channel": "user"})
            kinds = await _hear(feed, id=9)
            order = {"market_id": market_id, "side": "BUY", "type": "LIMIT", "quantity_micros": 10 * POINT}
            await admin.post("/v1/orders", {**order, "outcome": "NO", "price_micros": 480_000})
            await ann.post("/v1/orders", {**order, "outcome": "YES", "price_micros": 530_000})
            rest = await ann.post("/v1/orders", {**order, "outcome": "YES", "price_micros": 100_000})
            reply = await ann.ask("DELETE", f"/v1/orders/{rest['order_id']}")
            assert reply.status == 200, reply
            await admin.post(f"/v1/admin/markets/{market_id}/pause", status=200)
            kinds |= await _hear(feed, type="status", status="PAUSED")
    wanted = {"hello", "subscribed", "book.snapshot", "book.delta", "trade", "ticker", "status"}
    assert wanted | {f"user.{kind}" for kind in ("order", "fill", "balance", "position")} <= kinds, kinds


async def _hear(feed: aiohttp.ClientWebSocketResponse, **last: Any) -> set[str]:
    """The kinds of all frames, each checked, up to the one with these fields."""
    kinds = set()
    frame: dict[str, Any] = {}
    while any(frame.get(name) != value for name, value in last.items()):
        frame = orjson.loads((await feed.receive(timeout=20)).data)
        published.check_frame(frame)
        kinds.add(frame["type"])
    return kinds
