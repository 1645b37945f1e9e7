"""Own events: to their owner only, numbered without gaps, and resumed."""

import uuid
from typing import Any

import orjson
import pytest

from tests.ws_service.support import Live, Reader, user_event
from ws_service import user_feed
from ws_service.bus_messages import user_message

pytestmark = pytest.mark.usefixtures("user_events")


@pytest.fixture
def user() -> str:
    return str(uuid.uuid4())


async def connect_as(live: Live, user: str) -> Reader:
    reader = await live.connect()
    assert (await reader.log_in(await live.ticket(user)))["type"] == "authenticated"
    return reader


async def numbers(reader: Reader, count: int, seconds: float = 10) -> list[int]:
    return [(await reader.next(seconds))["user_seq"] for _ in range(count)]


async def test_own_events_come_in_order_without_gaps(live: Live, user: str) -> None:
    await live.tell(user, 1, "user.balance", "user.balance")
    reader = await connect_as(live, user)
    assert await reader.own() == {"type": "subscribed", "id": 2, "channel": "user", "user_seq": 2}
    await live.tell(user, 3)
    await live.tell(user, 3)  # published again
    await live.tell(user, 4, "user.balance", "user.balance")
    assert await numbers(reader, 3) == [3, 4, 5]


async def test_events_of_two_shards_are_put_in_order(live: Live, user: str) -> None:
    await live.tell(user, 1)
    reader = await connect_as(live, user)
    await reader.own()
    await live.tell(user, 4)
    await live.tell(user, 3)
    await live.tell(user, 2)
    assert await numbers(reader, 3) == [2, 3, 4]


async def test_what_stays_missing_is_said_and_the_rest_goes_on(
    live: Live, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_feed, "MISSING_SECONDS", 0.5)
    await live.tell(user, 1)
    reader = await connect_as(live, user)
    await reader.own()
    await live.tell(user, 4)
    frame = await reader.next(seconds=10)
    assert (frame["type"], frame["code"], frame["channel"]) == ("error", "RESUME_UNAVAILABLE", "user")
    assert await numbers(reader, 1) == [4]


async def test_a_client_resumes_where_it_was(live: Live, user: str) -> None:
    for seq in range(1, 60, 3):
        await live.tell(user, seq, "user.balance", "user.balance", "user.balance")
        await live.tell(str(uuid.uuid4()), seq)  # others stand between them in the stream
    for since in (0, 1, 29, 59, 60):
        reader = await connect_as(live, user)
        assert (await reader.own(since))["user_seq"] == since
        assert await numbers(reader, 60 - since) == list(range(since + 1, 61))
        await reader.socket.close()


async def test_a_resumed_client_misses_nothing_that_comes_meanwhile(live: Live, user: str) -> None:
    for seq in range(1, 101):
        await live.tell(user, seq)
    reader = await connect_as(live, user)
    await reader.send(id=2, cmd="subscribe", channel="user", since_user_seq=40)
    for seq in range(101, 141):
        await live.tell(user, seq)
    assert (await reader.next())["user_seq"] == 40
    assert await numbers(reader, 100) == list(range(41, 141))


async def test_events_of_two_shards_are_resumed_in_order(live: Live, user: str) -> None:
    for seq in (1, 2, 4, 6, 3, 5, 8, 7, 9):
        await live.tell(user, seq)
    reader = await connect_as(live, user)
    await reader.own(2)
    assert await numbers(reader, 7) == [3, 4, 5, 6, 7, 8, 9]


async def test_a_resume_from_the_future_is_refused(
    live: Live, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_feed, "AHEAD_SECONDS", 0.3)
    await live.tell(user, 5)
    reader = await connect_as(live, user)
    for since in (6, 2**63 - 1):
        frame = await reader.own(since)
        assert (frame["type"], frame["code"]) == ("error", "RESUME_UNAVAILABLE")
    assert (await reader.own(-1))["code"] == (await reader.own(2**63))["code"] == "INVALID_ARGUMENT"


async def test_what_rest_knew_before_the_bus_did_is_waited_for(live: Live, user: str) -> None:
    await live.tell(user, 5)
    reader = await connect_as(live, user)
    await reader.send(id=2, cmd="subscribe", channel="user", since_user_seq=6)
    await live.tell(user, 6)
    await live.tell(user, 7)
    assert (await reader.next())["user_seq"] == 6
    assert await numbers(reader, 1) == [7]


async def test_a_resume_beyond_the_stream_or_too_far_back_is_refused(live: Live, user: str) -> None:
    await live.tell(user, 5)
    await live.tell(user, 6, *["user.balance"] * 900)
    reader = await connect_as(live, user)
    for since in (3, 5):  # older than the stream; more frames than are told again
        frame = await reader.own(since)
        assert (frame["type"], frame["code"]) == ("error", "RESUME_UNAVAILABLE")
    assert (await reader.own())["user_seq"] == 905


async def test_a_user_of_whom_the_stream_knows_nothing_may_go_on(live: Live, user: str) -> None:
    """Nothing has happened to the user as long as the stream reaches."""
    first, second, third = [await connect_as(live, user) for _ in range(3)]
    assert (await first.own(812))["user_seq"] == 812
    assert (await second.own(9_000))["user_seq"] == 9_000  # claims more than there is: its own harm
    assert (await third.own())["user_seq"] is None
    await live.tell(user, 813)
    assert await numbers(first, 1) == await numbers(third, 1) == [813]
    await second.send(id=3, cmd="ping")
    assert (await second.next())["type"] == "pong"


async def test_private_events_go_to_their_owner_only(live: Live, user: str) -> None:
    other = str(uuid.uuid4())
    mine, theirs, nobody = await connect_as(live, user), await connect_as(live, other), await live.connect()
    await mine.own()
    await theirs.own()
    refused = await nobody.own()
    assert (refused["type"], refused["code"]) == ("error", "UNAUTHENTICATED")
    await nobody.subscribe("status", "*")
    await live.tell(user, 1)
    assert (await mine.next())["type"] == "user.balance"
    for reader in (theirs, nobody):
        await reader.send(id=9, cmd="ping")
        assert (await reader.next())["type"] == "pong"


async def test_an_unsubscribed_socket_hears_nothing_and_may_come_back(live: Live, user: str) -> None:
    reader = await connect_as(live, user)
    await reader.own()
    await reader.send(id=3, cmd="list")
    assert (await reader.next())["subscriptions"] == [{"channel": "user"}]
    await reader.send(id=4, cmd="unsubscribe", channel="user")
    assert await reader.next() == {"type": "unsubscribed", "id": 4, "channel": "user"}
    await live.tell(user, 1)
    await reader.own(0)
    assert await numbers(reader, 1) == [1]


def test_frames_have_times_and_nulls_as_rest_has_them() -> None:
    event: dict[str, Any] = user_event("u", 7, "user.order")
    event["frames"][0].update(
        {
            "client_order_id": "",
            "price_micros": 0,
            "amount_micros": 0,
            "average_price_micros": 0,
            "reason": "",
            "self_trade": "",
            "expires_at": 0,
            "created_at": 1,
            "updated_at": 2,
        }
    )
    message = user_message(orjson.dumps(event))
    assert (message.first_seq, message.last_seq) == (7, 7)
    assert b'"price_micros":null' in message.frames[0]
    assert b'"expires_at":null' in message.frames[0]
    assert b'"created_at":"1970-01-01T00:00:00.000001Z"' in message.frames[0]
