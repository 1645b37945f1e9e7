"""`make run KAFKA=1`, and the commands for the buses of a running engine."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator

import pytest

from launcher.embedded.kafka import why_not
from runtime.topic_readers import open_reader
from runtime.topics import Topic, TopicSource
from tests.launcher.test_run import Run, launcher
from tests.servers import new_folder


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    missing = why_not()
    if missing is not None:
        pytest.skip(f"not tested: make run KAFKA=1: {missing}")
    parent = new_folder()
    run = Run(parent / "data", kafka="1")
    try:
        run.wait_ready()
        yield run
    finally:
        run.end(signal.SIGINT)
        shutil.rmtree(parent)


async def events_of(run: Run, group: str) -> list[tuple[str, int]]:
    """All market events a new group, or one that was sought, finds."""
    found: list[tuple[str, int]] = []
    source = TopicSource(run.state().kafka_bootstrap, "")
    async with open_reader(source, Topic.MARKET_EVENTS, name="test", group=group) as reader:
        async with asyncio.timeout(60):
            while True:
                batch = await reader.next_batch(most=1_000, wait_seconds=1.0)
                for message in batch.messages:
                    body = json.loads(message.body)
                    found.append((body["market_id"], body["seq"]))
                await reader.commit(batch)
                if found and not batch.messages:
                    return found


async def test_the_demo_markets_are_on_the_broker_it_started(run: Run) -> None:
    assert f"Kafka      {run.state().kafka_bootstrap}" in run.printed()
    events = await events_of(run, "demo")
    assert len({market for market, _ in events}) > 3
    assert len(events) == len(set(events))


def test_topics_and_groups_are_looked_after_by_commands(run: Run) -> None:
    made = launcher("topics", "--data", str(run.data))
    assert made.returncode == 0, made.stderr
    assert "price-updates: 8 partitions" in made.stdout
    sought = launcher("seek", "market-events", "--to", "start", "--data", str(run.data))
    answer = sought.stdout + sought.stderr
    moved = "consumer-group-market-events goes on at the start of market-events."
    assert moved in answer or "consumer-group-market-events has readers; stop them first" in answer


def test_both_buses_are_rebuilt_by_one_command_that_shows_how_far_it_is(run: Run) -> None:
    before = asyncio.run(events_of(run, "before"))
    rebuilt = launcher("rebuild-buses", "--data", str(run.data))
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "kafka" in rebuilt.stdout
    assert "Both buses are rebuilt." in rebuilt.stdout
    assert set(asyncio.run(events_of(run, "after"))) >= set(before)
