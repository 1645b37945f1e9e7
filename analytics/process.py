"""Wires analytics, top to bottom."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

from analytics import schema
from analytics.analysts import access
from analytics.analysts.serving import serve_analysts
from analytics.clickhouse import ClickHouse, ClickHouseAway, opened
from analytics.ingest.catch_up import CatchUp
from analytics.ingest.database import Database
from analytics.ingest.follow import Follower
from analytics.ingest.positions import Positions
from analytics.ingest.writer import Writer
from analytics.reconcile import reconcile
from analytics.rpc import SERVICE_NAME, AnalyticsServicer
from analytics.settings import AnalyticsSettings
from predmarket.analytics.v1 import analytics_pb2_grpc
from runtime import postgres
from runtime.lifecycle import Process
from runtime.logs import get_logger
from runtime.topic_readers import open_reader
from runtime.topics import TopicSource

log = get_logger(__name__)

RETRY_SECONDS = 1.0


async def serve(process: Process, settings: AnalyticsSettings) -> None:
    """Starts everything; returns when the process can answer, which may be before it has caught up."""
    os.nice(settings.niceness)  # before there are threads: they inherit it
    database_url = settings.database_url.get_secret_value()
    pool = await process.enter(postgres.open_pool(database_url, name=process.instance))
    clickhouse = await process.enter(opened(settings.place(), analysts=settings.analysts_running_max + 1))
    await _until_made(clickhouse)
    process.ready_when("clickhouse", lambda: _answers(clickhouse))

    positions = Positions(clickhouse)
    database = Database(pool)
    writer = Writer(clickhouse, positions, database.fetch)
    source = TopicSource(settings.kafka_bootstrap, settings.nats_url.get_secret_value())
    follower = Follower(
        writer=writer,
        catch_up=CatchUp(database, positions, writer),
        open_reader=lambda topic: open_reader(source, topic, name=process.instance),
        database_url=database_url,
        instance=process.instance,
        clock=process.clock,
        interval_seconds=settings.ingest_interval_seconds,
        compare_seconds=settings.compare_seconds,
    )
    process.spawn(follower.run(), name="ingest")
    process.ops.add_route("/reconcile", lambda _: _reconciled(clickhouse, database_url))

    await serve_analysts(process, settings, clickhouse)
    servicer = AnalyticsServicer(
        clickhouse=clickhouse, database=database, clock=process.clock, standing=follower.standing
    )
    await process.serve_grpc(
        [SERVICE_NAME],
        lambda server: analytics_pb2_grpc.add_AnalyticsServiceServicer_to_server(servicer, server),
    )


async def _until_made(clickhouse: ClickHouse) -> None:
    """Services start in any order, and a server may come later than we do."""
    while True:
        try:
            if applied := await schema.apply(clickhouse):
                log.info("schema applied", files=applied)
            if clickhouse.place.is_embedded:
                await access.apply(clickhouse)  # the views; a server's users and roles are an operator's step
            return
        except ClickHouseAway as error:
            log.warning("ClickHouse is away", error=str(error)[:300])
            await asyncio.sleep(RETRY_SECONDS)


async def _answers(clickhouse: ClickHouse) -> bool:
    return bool(await clickhouse.rows("SELECT 1"))


async def _reconciled(clickhouse: ClickHouse, database_url: str) -> web.Response:
    """For the command, while this process has the folder."""
    connection = await postgres.connect(database_url, name="reconcile", wait=False)
    try:
        lines = await reconcile(clickhouse, connection)
    finally:
        await connection.close()
    return web.json_response([[line.what, line.postgres, line.clickhouse] for line in lines])
