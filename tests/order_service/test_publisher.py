"""Publishing with one future for many acks, against a real NATS that refuses, dies and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NoStreamResponseError

from launcher.embedded import NatsServer
from order_service.bus import Bus
from order_service.publisher import ACK_SECONDS, MESSAGES_PER_SLICE, Publication
from order_service.relay import RETRIED
from runtime.bus import ensure_stream

STREAM = "PUBLISHED"


@pytest.fixture
async def bus(private_nats: NatsServer) -> AsyncIterator[Bus]:
    bus = Bus(private_nats.url, "test")
    stream = await bus.stream()
    await ensure_stream(stream, StreamConfig(name=STREAM, subjects=["published.>"], max_msg_size=2_000))
    yield bus
    await bus.close()


def numbered(count: int, first: int = 0) -> list[Publication]:
    return [
        (f"published.{number % 7}", str(number), b"%d" % number) for number in range(first, first + count)
    ]


async def stored(bus: Bus) -> list[bytes]:
    stream = await bus.stream()
    last = (await stream.stream_info(STREAM)).state.last_seq
    return [(await stream.get_msg(STREAM, seq)).data or b"" for seq in range(1, last + 1)]


async def test_many_are_stored_in_order_and_once(bus: Bus) -> None:
    publisher = await bus.publisher()
    count = 2 * MESSAGES_PER_SLICE + 17
    await publisher.publish(numbered(count))
    await publisher.publish(numbered(5))  # again: JetStream knows their ids
    assert await stored(bus) == [b"%d" % number for number in range(count)]


async def test_two_tasks_do_not_take_each_others_acks(bus: Bus) -> None:
    publisher = await bus.publisher()
    await asyncio.gather(publisher.publish(numbered(300)), publisher.publish(numbered(300, first=300)))
    found = await stored(bus)
    assert sorted(found, key=int) == [b"%d" % number for number in range(600)]


async def test_one_refused_message_fails_the_call_and_the_next_call_works(bus: Bus) -> None:
    publisher = await bus.publisher()
    with pytest.raises(APIError, match="exceeds maximum allowed"):
        await publisher.publish([*numbered(10), ("published.1", "large", b"x" * 3_000)])
    with pytest.raises(NoStreamResponseError):
        await publisher.publish([("elsewhere", "1", b"nobody keeps this")])
    await publisher.publish(numbered(10, first=10))
    assert len(await stored(bus)) == 20


async def test_nothing_to_publish_is_done_at_once(bus: Bus) -> None:
    await (await bus.publisher()).publish([])


async def test_a_pass_of_many_messages_ends_though_the_bus_is_killed_in_it(
    bus: Bus, private_nats: NatsServer
) -> None:
    publisher = await bus.publisher()
    publishing = asyncio.create_task(publisher.publish(numbered(12_000)))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(private_nats.kill)
    await asyncio.to_thread(private_nats.start)
    done, _ = await asyncio.wait({publishing}, timeout=10 * ACK_SECONDS)
    assert done, "it gave up, or all of it was acknowledged"
    with suppress(*RETRIED):
        publishing.result()
    await asyncio.wait_for(publish_until_taken(bus, numbered(3)), 10 * ACK_SECONDS)
    assert set(await stored(bus)) >= {b"0", b"1", b"2"}


async def publish_until_taken(bus: Bus, publications: list[Publication]) -> None:
    while True:
        with suppress(*RETRIED):
            await (await bus.publisher()).publish(publications)
            return
        await asyncio.sleep(0.1)
