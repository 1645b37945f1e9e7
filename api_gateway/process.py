"""Wires api_gateway, top to bottom."""

from redis.asyncio import Redis

from api_gateway.app import Edge, make_app
from api_gateway.browsers import Browsers
from api_gateway.clients import Clients
from api_gateway.cors import Cors, origins_of
from api_gateway.deadlines import Deadlines
from api_gateway.gather import OrderGatherer
from api_gateway.grpc_web import GrpcWeb
from api_gateway.grpc_web_methods import Upstream, offered_methods
from api_gateway.grpc_web_upstreams import Upstreams
from api_gateway.limits import GatewayLimits
from api_gateway.peers import Peers, networks_of
from api_gateway.renewals import Renewals
from api_gateway.routes import all_routes, chosen_routes
from api_gateway.settings import GatewaySettings
from api_gateway.tickets import Tickets
from predmarket.analytics.v1 import analytics_pb2_grpc
from predmarket.auth.v1 import auth_pb2_grpc
from predmarket.db.v1 import db_pb2_grpc
from predmarket.market.v1 import market_pb2_grpc
from runtime.grpc_client import open_channel
from runtime.lifecycle import Process
from runtime.order_shards import OrderShards, addresses_of
from runtime.rate_policy import counted_metadata, make_gate

REDIS_SECONDS = 1.0
REDIS_CONNECTIONS_MAX = 50


async def serve(process: Process, settings: GatewaySettings) -> None:
    """Starts everything. The services behind may still be away: their routes say UNAVAILABLE until they are there."""
    auth_channel = await process.enter(open_channel(settings.auth_grpc))
    database_channel = await process.enter(open_channel(settings.db_grpc))
    market_channel = await process.enter(open_channel(settings.market_grpc, spread=True))
    analytics_channel = await process.enter(open_channel(settings.analytics_grpc))
    orders = OrderShards(addresses_of(settings.order_grpc), metadata=counted_metadata(settings))
    process.on_stop(orders.close)
    gatherer = OrderGatherer(orders, together=settings.gather)
    process.on_stop(gatherer.close)
    redis = _redis(settings.redis_url.get_secret_value())
    if redis is not None:
        process.on_stop(redis.aclose)
    clients = Clients(
        auth=auth_pb2_grpc.AuthServiceStub(auth_channel),
        user_admin=auth_pb2_grpc.UserAdminServiceStub(auth_channel),
        database=db_pb2_grpc.DbServiceStub(database_channel),
        market=market_pb2_grpc.MarketServiceStub(market_channel),
        analytics=analytics_pb2_grpc.AnalyticsServiceStub(analytics_channel),
        orders=orders,
        gatherer=gatherer,
        tickets=Tickets(redis),
        clock=process.clock,
        ws_url=settings.ws_url,
    )
    gate = make_gate(settings)
    process.on_stop(gate.close)
    renewals = Renewals(redis, clients.auth)
    process.on_stop(renewals.close)
    verifier = process.token_verifier()
    peers, cors = Peers(networks_of(settings.trusted_proxies)), Cors(origins_of(settings.cors_origins))
    deadlines = Deadlines()
    process.spawn(deadlines.watch(), name="time limits of requests")
    edge = Edge(
        clients=clients,
        verifier=verifier,
        request_seconds=settings.request_seconds,
        deadlines=deadlines,
        limits=GatewayLimits(gate),
        browsers=Browsers(renewals, peers, cors, process.clock, insecure=settings.insecure_cookies),
        peers=peers,
        cors=cors,
    )
    # Proves nothing, so that order_service counts what comes by gRPC-Web itself.
    unproven = OrderShards(addresses_of(settings.order_grpc))
    process.on_stop(unproven.close)
    upstreams = Upstreams(
        unproven,
        {
            Upstream.DATABASE: database_channel,
            Upstream.MARKET: market_channel,
            Upstream.AUTH: auth_channel,
            Upstream.ANALYTICS: analytics_channel,
        },
    )
    methods = offered_methods(settings.gateway_routes)
    grpc_web = GrpcWeb(upstreams, methods, verifier, gate, cors, peers)
    routes = chosen_routes(all_routes(lambda: process.ops.ready), settings.gateway_routes)
    app = make_app(edge, routes, grpc_web.add_to)
    await process.serve_http(app, host=settings.http_host, port=settings.http_port)


def _redis(url: str) -> Redis | None:
    return (
        Redis.from_url(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            max_connections=REDIS_CONNECTIONS_MAX,
        )
        if url
        else None
    )
