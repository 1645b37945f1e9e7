"""The services behind the gateway."""

from dataclasses import dataclass

from api_gateway.gather import OrderGatherer
from api_gateway.tickets import Tickets
from predmarket.analytics.v1 import analytics_pb2_grpc
from predmarket.auth.v1 import auth_pb2_grpc
from predmarket.db.v1 import db_pb2_grpc
from predmarket.market.v1 import market_pb2_grpc
from runtime.clock import Clock
from runtime.order_shards import OrderShards


@dataclass(frozen=True, slots=True)
class Clients:
    """What handlers call."""

    auth: auth_pb2_grpc.AuthServiceStub
    user_admin: auth_pb2_grpc.UserAdminServiceStub
    database: db_pb2_grpc.DbServiceStub
    market: market_pb2_grpc.MarketServiceStub
    analytics: analytics_pb2_grpc.AnalyticsServiceStub
    orders: OrderShards
    gatherer: OrderGatherer
    tickets: Tickets
    clock: Clock
    ws_url: str
