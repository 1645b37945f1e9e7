"""Starts the endpoint in the process of analytics, where there is one to start."""

from __future__ import annotations

from analytics.analysts.endpoint import Endpoint
from analytics.analysts.settings import AnalystsSettings
from analytics.clickhouse import ClickHouse
from runtime.lifecycle import Process
from runtime.logs import get_logger

log = get_logger(__name__)


async def serve_analysts(process: Process, settings: AnalystsSettings, clickhouse: ClickHouse) -> None:
    """After the schema is there. A server of ClickHouse answers analysts itself, so then it starts nothing."""
    if not clickhouse.place.is_embedded:
        return
    endpoint = Endpoint(
        clickhouse,
        process.token_verifier(),
        bounds=settings.bounds(),
        turns=settings.turn_limits(),
        clock=process.clock,
    )
    await endpoint.prepare()
    server = await process.serve_http(
        endpoint.app(),
        host=settings.http_host,
        port=settings.http_port,
        connections_max=settings.analysts_connections_max,
    )
    # Stops first: what runs is ended, so that nobody waits for it.
    process.on_stop(endpoint.close)
    log.info("analysts may ask", address=f"http://{settings.http_host}:{server.port}")
