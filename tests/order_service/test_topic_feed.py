"""What order_service tells the topics, over a real Kafka broker and over JetStream; and that nothing waits for them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from db_service.topics import reading
from launcher.embedded import KafkaServer, NatsServer
from order_service import topic_feed
from order_service.bus_rebuild import Progress, rebuild
from order_service.settings import BusSettings
from predmarket.common.v1 import common_pb2
from runtime.bus import open_bus
from runtime.ports import free_port
from runtime.postgres import Pool, open_pool
from runtime.topic_admin import delete_topics, ensure_topics
from runtime.topic_readers import open_reader
from runtime.topics import Topic, TopicsAway
from tests.order_service.support import Client, Issuer, limit, new_user, run_service_here, settings_of
from tests.servers import Broker, Database

Told = dict[tuple[str, Topic], list[bytes]]


@pytest.fixture(params=["kafka", "jetstream"])
async def fields(
    request: pytest.FixtureRequest, issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> AsyncIterator[dict[str, Any]]:
    """Settings of a service with empty buses."""
    bootstrap = ""
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka_server")
        bootstrap = broker.bootstrap
    fields = settings_of(
        fresh_database.url_for("pm_order"),
        nats_server.url,
        issuer.url,
        kafka_bootstrap=bootstrap,
        kafka_partitions=3,
    )
    await wipe(fields)
    yield fields
    await wipe(fields)


@pytest.fixture
async def pool(fresh_database: Database) -> AsyncIterator[Pool]:
    async with open_pool(fresh_database.superuser_url, name="test", min_size=1) as pool:
        yield pool


async def test_the_topics_tell_every_event_once_in_order_over_a_restart_of_the_service(
    issuer: Issuer, fields: dict[str, Any], pool: Pool
) -> None:
    user, maker = new_user(), new_user()
    async with run_service_here(issuer, fields) as client:
        market = await client.open_market(new_user())
        await client.grant(user)
        await client.grant(maker)
        await trade(client, market, maker, user, 5)
        await published(pool, target(fields))
    async with run_service_here(issuer, {**fields, "grpc_port": free_port()}) as client:
        await trade(client, market, maker, user, 5)
        await published(pool, target(fields))
    assert await told_by_the_bus(fields, pool) == await told_by_postgres(pool)


async def test_a_service_that_died_before_its_cursor_was_saved_repeats_the_same_bytes(
    issuer: Issuer, fields: dict[str, Any], pool: Pool
) -> None:
    user, maker = new_user(), new_user()
    async with run_service_here(issuer, fields) as client:
        market = await client.open_market(new_user())
        await client.grant(user)
        await client.grant(maker)
        await trade(client, market, maker, user, 4)
        await published(pool, target(fields))
    moved = "UPDATE relay_cursors SET commit_seq = 3 WHERE target = $1 AND commit_seq > 3"
    assert await pool.execute(moved, target(fields)) == "UPDATE 1"
    async with run_service_here(issuer, {**fields, "grpc_port": free_port()}) as client:
        await trade(client, market, maker, user, 1)
        await published(pool, target(fields))
    expected = await told_by_postgres(pool)
    for place, bodies in (await told_by_the_bus(fields, pool)).items():
        assert list(dict.fromkeys(bodies)) == expected[place]


async def test_the_feed_goes_on_over_a_restart_of_its_broker_and_loses_nothing(
    issuer: Issuer,
    fields: dict[str, Any],
    pool: Pool,
    nats_server: NatsServer,
    request: pytest.FixtureRequest,
) -> None:
    server: KafkaServer | NatsServer | None = nats_server
    if fields["kafka_bootstrap"]:
        server = request.getfixturevalue("kafka_server").server
    if server is None:
        pytest.skip("not tested: the restart of a broker that is not ours (KAFKA_BOOTSTRAP)")
    user, maker = new_user(), new_user()
    async with run_service_here(issuer, fields) as client:
        market = await client.open_market(new_user())
        await client.grant(user)
        await client.grant(maker)
        await trade(client, market, maker, user, 3)
        server.kill()
        await trade(client, market, maker, user, 3)
        server.start()  # in this thread, with which it ends: it serves other tests too
        await trade(client, market, maker, user, 3)
        await published(pool, target(fields))
    expected = await told_by_postgres(pool)
    told = await told_by_the_bus(fields, pool)
    assert {place: list(dict.fromkeys(bodies)) for place, bodies in told.items()} == expected


async def test_heads_are_kept_now_and_then_and_reading_may_begin_at_each(
    issuer: Issuer, fields: dict[str, Any], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_feed, "CHECKPOINT_EVENTS", 4)
    user, maker = new_user(), new_user()
    async with run_service_here(issuer, fields) as client:
        market = await client.open_market(new_user())
        await client.grant(user)
        await client.grant(maker)
        await trade(client, market, maker, user, 5)
        await published(pool, target(fields))
    kept = [
        row["seq"]
        for row in await pool.fetch(
            "SELECT seq FROM topic_checkpoints WHERE market_id = $1 ORDER BY seq", market
        )
    ]
    assert kept == [4, 8, 12]
    with_heads = await told_by_postgres(pool)
    last = await pool.fetchval("SELECT max(seq) FROM events WHERE market_id = $1", market)
    from_the_last = [
        message.body
        async for some in reading.read_messages(pool, market, after_seq=last - 1, to_seq=last)
        for message in some
    ]
    await pool.execute("DELETE FROM topic_checkpoints")
    assert await told_by_postgres(pool) == with_heads
    assert from_the_last == [
        message.body
        async for some in reading.read_messages(pool, market, after_seq=last - 1, to_seq=last)
        for message in some
    ]


async def test_trading_and_the_other_bus_do_not_notice_that_the_broker_is_away(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer, pool: Pool
) -> None:
    fields = settings_of(fresh_database.url_for("pm_order"), nats_server.url, issuer.url)
    fields["kafka_bootstrap"] = f"127.0.0.1:{free_port()}"
    async with open_bus(nats_server.url, name="test") as bus, run_service_here(issuer, fields) as client:
        market = await client.open_market(new_user())
        heard = await bus.subscribe(f"market.{market}.book")
        user = new_user()
        await client.grant(user)
        for price in range(40, 45):
            await client.ask("PlaceOrder", limit(market, price, 1), user)
        seqs: list[int] = []
        while not seqs or seqs[-1] < 7:
            seqs.append(json.loads((await heard.next_msg(timeout=10)).data)["seq"])
        assert not await pool.fetchval("SELECT sum(commit_seq) FROM relay_cursors WHERE target = 'kafka'")


async def test_both_buses_are_wiped_and_rebuilt_while_the_service_trades(
    issuer: Issuer, fields: dict[str, Any], pool: Pool
) -> None:
    user, maker = new_user(), new_user()
    async with run_service_here(issuer, fields) as client:
        market = await client.open_market(new_user())
        await client.grant(user)
        await client.grant(maker)
        await trade(client, market, maker, user, 5)
        await published(pool, target(fields))
        seen: list[list[Progress]] = []
        async with open_pool(fields["database_url"], name="test", min_size=1) as own:
            async for progress in rebuild(BusSettings.model_validate(fields), own):
                seen.append(progress)
                await trade(client, market, maker, user, 1)
        await published(pool, target(fields))
    assert all(one.done >= one.total > 10 for one in seen[-1])
    assert await told_by_the_bus(fields, pool) == await told_by_postgres(pool)
    async with open_bus(fields["nats_url"], name="test") as bus:
        streams = bus.jetstream()
        subscription = await streams.subscribe(f"market.{market}.book", ordered_consumer=True)
        first = json.loads((await subscription.next_msg(timeout=10)).data)
    assert first["prev_seq"] == 0


async def trade(client: Client, market: str, maker: str, taker: str, times: int) -> None:
    """Each time a resting order, and one that takes it."""
    for _ in range(times):
        await client.ask("PlaceOrder", limit(market, 41, 2, outcome=common_pb2.OUTCOME_NO), maker)
        await client.ask("PlaceOrder", limit(market, 60, 2), taker)


def target(fields: dict[str, Any]) -> str:
    return "kafka" if fields["kafka_bootstrap"] else "jetstream"


async def published(pool: Pool, name: str) -> None:
    """Waits until everything of now is on the bus and its cursor saved."""
    query = """
        SELECT (SELECT sum(commit_seq) FROM shards) = (SELECT sum(commit_seq) FROM relay_cursors WHERE target = $1)
    """
    async with asyncio.timeout(40):
        while not await pool.fetchval(query, name):
            await asyncio.sleep(0.05)


async def told_by_postgres(pool: Pool) -> Told:
    told: Told = defaultdict(list)
    for row in await pool.fetch("SELECT market_id::text, max(seq) AS last FROM events GROUP BY market_id"):
        found = reading.read_messages(pool, row["market_id"], after_seq=0, to_seq=row["last"])
        async for some in found:
            for message in some:
                told[message.market_id, message.topic].append(message.body)
    return told


async def told_by_the_bus(fields: dict[str, Any], pool: Pool) -> Told:
    """All there is; at least what PostgreSQL says must be there."""
    expected = await told_by_postgres(pool)
    told: Told = defaultdict(list)
    async with asyncio.timeout(60):
        for topic in Topic:
            left = sum(len(bodies) for place, bodies in expected.items() if place[1] is topic)
            async with reader_of(fields, topic) as reader:
                while True:
                    batch = await reader.next_batch(most=1_000, wait_seconds=0.3)
                    for message in batch.messages:
                        told[message.market_id, topic].append(message.body)
                    left -= len(batch.messages)
                    if left <= 0 and not batch.messages:
                        break
    return told


@asynccontextmanager
async def reader_of(fields: dict[str, Any], topic: Topic) -> AsyncIterator[Any]:
    source = BusSettings.model_validate(fields).topic_source()
    async with open_reader(source, topic, name="test", group=f"test-{topic}-{free_port()}") as reader:
        yield reader


async def wipe(fields: dict[str, Any]) -> None:
    settings = BusSettings.model_validate(fields)
    await delete_topics(settings)
    async with asyncio.timeout(20):
        while True:
            try:
                await ensure_topics(settings)
            except TopicsAway:
                await asyncio.sleep(0.1)
            else:
                return
