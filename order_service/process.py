"""Wires order_service, top to bottom."""

from __future__ import annotations

from typing import Any

from order_service.bus import Bus
from order_service.failpoints import FailPoints
from order_service.lease import Follower, Leases, Me
from order_service.limits import CallerLimits
from order_service.relay import Relay
from order_service.routing import Router
from order_service.rpc_admin import MarketAdminServicer, PointsServicer, ShardServicer
from order_service.rpc_batches import BatchServicer
from order_service.rpc_users import UserOrdersServicer
from order_service.settings import OrderSettings
from order_service.topic_feed import TopicFeed
from order_service.topic_sinks import make_sink
from predmarket.order.v1 import order_pb2_grpc
from runtime import postgres
from runtime.lifecycle import Process
from runtime.rate_policy import make_gate

SERVICES = ("OrderService", "MarketAdminService", "PointsService", "UserOrdersService", "ShardService")


async def serve(process: Process, settings: OrderSettings) -> None:
    """Starts everything; returns when the process can serve."""
    url = settings.database_url.get_secret_value()
    pool = await process.enter(postgres.open_pool(url, name=process.instance))
    process.ready_when("postgres", lambda: postgres.answers(pool))
    bus = Bus(settings.nats_url.get_secret_value(), process.instance)
    process.on_stop(bus.close)
    router = Router(pool, process.clock)

    def make_followers(shard_id: int) -> dict[str, Follower]:
        sink = make_sink(settings, bus, f"{process.instance} shard {shard_id}")
        return {
            "relay": Relay(
                pool=pool,
                bus=bus,
                shard_id=shard_id,
                max_bytes=settings.bus_max_bytes,
                fail_points=FailPoints(settings.fail_point),
            ),
            "topics": TopicFeed(pool=pool, shard_id=shard_id, sink=sink),
        }

    leases = Leases(
        pool=pool,
        settings=settings,
        router=router,
        clock=process.clock,
        me=Me(process.instance, settings.address()),
        make_followers=make_followers,
    )
    process.on_stop(leases.stop)
    await leases.start()
    process.spawn(leases.run(), name="leases")
    verifier = process.token_verifier()
    gate = make_gate(settings)
    process.on_stop(gate.close)
    limits = CallerLimits(gate, settings.gateway_secret.get_secret_value())

    def add(server: Any) -> None:
        orders = BatchServicer(router, verifier, limits, settings.trade_window)
        order_pb2_grpc.add_OrderServiceServicer_to_server(orders, server)
        admin = MarketAdminServicer(router, verifier, limits)
        order_pb2_grpc.add_MarketAdminServiceServicer_to_server(admin, server)
        order_pb2_grpc.add_PointsServiceServicer_to_server(PointsServicer(router, verifier, limits), server)
        order_pb2_grpc.add_UserOrdersServiceServicer_to_server(UserOrdersServicer(router, verifier), server)
        order_pb2_grpc.add_ShardServiceServicer_to_server(ShardServicer(router, verifier), server)

    await process.serve_grpc([f"predmarket.order.v1.{name}" for name in SERVICES], add)
