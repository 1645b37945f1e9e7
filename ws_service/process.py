"""Wires ws_service, top to bottom."""

from runtime.bus import open_bus
from runtime.grpc_client import open_channel
from runtime.lifecycle import Process
from runtime.order_shards import OrderShards, addresses_of
from ws_service.access import Access
from ws_service.app import Door
from ws_service.days import Days
from ws_service.hub import Hub
from ws_service.settings import WsSettings
from ws_service.socket import Backlog
from ws_service.sources import Sources
from ws_service.streams import Streams


async def serve(process: Process, settings: WsSettings) -> None:
    """Starts everything; returns when sockets are taken."""
    bus = await process.enter(open_bus(settings.nats_url.get_secret_value(), name=process.instance))
    orders = OrderShards(addresses_of(settings.order_grpc))
    process.on_stop(orders.close)
    access = Access(process.token_verifier(), settings.redis_url.get_secret_value())
    process.on_stop(access.close)
    channel = None
    if settings.market_grpc:
        channel = await process.enter(open_channel(settings.market_grpc, spread=True))
    days = Days(channel)
    backlog = Backlog(settings.backlog_bytes)
    hub = Hub(
        bus,
        Sources(orders, Streams(bus), days),
        backlog,
        clock=process.clock,
        merge_seconds=settings.merge_seconds,
    )
    process.on_stop(hub.stop)
    await hub.start()
    process.spawn(hub.tick(), name="slow sockets and unused feeds")
    process.spawn(hub.beat(settings.heartbeat_seconds), name="heartbeats")
    process.spawn(days.follow(hub.markets), name="yesterday")
    process.spawn(access.watch(lambda: hub.sockets), name="ended credentials")

    async def nats_answers() -> bool:
        return bool(bus.is_connected)

    process.ready_when("nats", nats_answers)
    door = Door(hub, access, backlog, settings, process.clock)
    await process.serve_http(door.app(), host=settings.http_host, port=settings.http_port)
    process.on_stop(lambda: hub.drain(settings.goaway_spread_seconds))
