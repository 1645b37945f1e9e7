"""Wires api_gateway, top to bottom."""

from api_gateway.app import Edge, make_app
from api_gateway.clients import Clients
from api_gateway.gather import OrderGatherer
from api_gateway.limits import GatewayLimits
from api_gateway.routes import all_routes
from api_gateway.settings import GatewaySettings
from predmarket.auth.v1 import auth_pb2_grpc
from predmarket.db.v1 import db_pb2_grpc
from runtime.grpc_client import open_channel
from runtime.lifecycle import Process
from runtime.order_shards import OrderShards, addresses_of
from runtime.rate_policy import counted_metadata, make_gate


async def serve(process: Process, settings: GatewaySettings) -> None:
    """Starts everything. The services behind may still be away: their routes say UNAVAILABLE until they are there."""
    auth_channel = await process.enter(open_channel(settings.auth_grpc))
    database_channel = await process.enter(open_channel(settings.db_grpc))
    orders = OrderShards(addresses_of(settings.order_grpc), metadata=counted_metadata(settings))
    process.on_stop(orders.close)
    gatherer = OrderGatherer(orders, together=settings.gather)
    process.on_stop(gatherer.close)
    clients = Clients(
        auth=auth_pb2_grpc.AuthServiceStub(auth_channel),
        database=db_pb2_grpc.DbServiceStub(database_channel),
        orders=orders,
        gatherer=gatherer,
        clock=process.clock,
        ws_url=settings.ws_url,
    )
    gate = make_gate(settings)
    process.on_stop(gate.close)
    edge = Edge(clients, process.token_verifier(), settings.request_seconds, GatewayLimits(gate))
    app = make_app(edge, all_routes(lambda: process.ops.ready))
    await process.serve_http(app, host=settings.http_host, port=settings.http_port)
