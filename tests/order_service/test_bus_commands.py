"""`python -m order_service topics` and `seek`, as an operator meets them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid

import pytest

from launcher.embedded import NatsServer
from runtime.ports import free_port
from runtime.topic_readers import open_reader
from runtime.topics import Topic, TopicSource
from tests.runtime.topic_bus import Seen, TopicBus, messages_of, read, settings_of
from tests.servers import Broker


@pytest.fixture(params=["kafka", "jetstream"])
async def bus(request: pytest.FixtureRequest, nats_server: NatsServer) -> TopicBus:
    broker: Broker | None = request.getfixturevalue("kafka_server") if request.param == "kafka" else None
    made = TopicBus(settings_of(nats_server, broker.bootstrap if broker else ""), None)
    await made.make_empty()
    return made


def order_service(source: TopicSource, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "NATS_URL": source.nats_url,
        "KAFKA_BOOTSTRAP": source.kafka_bootstrap,
        "KAFKA_PARTITIONS": "5",
    }
    return subprocess.run(
        [sys.executable, "-m", "order_service", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_a_group_is_sought_to_the_start_and_to_the_end(bus: TopicBus) -> None:
    markets = [str(uuid.uuid4()) for _ in range(5)]
    source = bus.settings.topic_source()
    await bus.publish(messages_of(markets, 1, 4))
    for place, expected in (("start", 20), ("end", 5), ("start", 25)):
        done = await asyncio.to_thread(order_service, source, "seek", "price-updates", "--to", place)
        assert done.stdout == f"consumer-group-price-updates goes on at the {place} of price-updates.\n", (
            done.stderr
        )
        if place == "end":
            await bus.publish(messages_of(markets, 5, 5))
        seen = Seen()
        async with open_reader(source, Topic.PRICE_UPDATES, name="test") as reader:
            await read(reader, seen, expected)
            # In a thread: the reader keeps its place in the group only while its loop runs.
            refused = await asyncio.to_thread(order_service, source, "seek", "price-updates", "--to", "start")
        assert refused.returncode == 1
        assert refused.stderr == "order_service: consumer-group-price-updates has readers; stop them first\n"
        assert seen.count() == expected


async def test_the_topics_are_made_and_shown(bus: TopicBus) -> None:
    done = order_service(bus.settings.topic_source(), "topics")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [topic.value for topic in Topic]


@pytest.mark.parametrize("command", [("topics",), ("seek", "fills", "--to", "end")])
def test_a_bus_that_is_away_is_said_without_a_stack(
    command: tuple[str, ...], nats_server: NatsServer
) -> None:
    source = TopicSource(f"127.0.0.1:{free_port()}", nats_server.url)
    done = order_service(source, *command)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("order_service: ")
