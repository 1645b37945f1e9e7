"""Which methods browsers may call, read from the contracts: of a list of services, all that are not client streams.

What only our own services call is in no list: CredentialService, PointsService, UserOrdersService.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.message import DecodeError, Message

from api_gateway.settings import RouteChoice
from predmarket.analytics.v1 import analytics_pb2
from predmarket.auth.v1 import auth_pb2
from predmarket.db.v1 import db_pb2
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2


class Upstream(Enum):
    """Who answers."""

    ORDERS = "order_service"
    DATABASE = "db_service"
    MARKET = "market_service"
    AUTH = "auth_service"
    ANALYTICS = "analytics"


ACCOUNTS: Final = (auth_pb2.DESCRIPTOR.services_by_name["AuthService"], Upstream.AUTH)
DATABASE: Final = (db_pb2.DESCRIPTOR.services_by_name["DbService"], Upstream.DATABASE)
PUBLIC_SERVICES: Final = (
    (order_pb2.DESCRIPTOR.services_by_name["OrderService"], Upstream.ORDERS),
    (order_pb2.DESCRIPTOR.services_by_name["ShardService"], Upstream.ORDERS),
    DATABASE,
    (market_pb2.DESCRIPTOR.services_by_name["MarketService"], Upstream.MARKET),
    (analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"], Upstream.ANALYTICS),
    ACCOUNTS,
)
ADMIN_SERVICES: Final = (
    (order_pb2.DESCRIPTOR.services_by_name["MarketAdminService"], Upstream.ORDERS),
    (auth_pb2.DESCRIPTOR.services_by_name["UserAdminService"], Upstream.AUTH),
)
ADMIN_METHODS: Final = frozenset({"GetTreasury", "ListRevenue", "ListAudit"})
"""Of DbService: what REST has below /v1/admin."""

READS: Final = ("Get", "List", "Watch")

# order_service counts these itself, each item of a batch for whom it is done.
COUNTED_THERE: Final = frozenset(
    {"PlaceOrder", "SubmitCommands", "AmendOrder", "CancelOrder", "CancelAllOrders", "MintSets", "MergeSets"}
)


@dataclass(frozen=True, slots=True)
class Method:
    """One method, as its contract declares it."""

    service: str
    name: str
    upstream: Upstream
    is_stream: bool
    request_class: type[Message]
    is_counted_there: bool
    is_for_admins: bool

    @property
    def is_read(self) -> bool:
        """By its name, as the contracts have them."""
        return self.name.startswith(READS)

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    def market_id(self, message: bytes) -> str:
        """The market a request names, so that it goes to its owner; empty where it names none or cannot be read (the
        service says so)."""
        if self.upstream is not Upstream.ORDERS:
            return ""
        try:
            request: Any = self.request_class.FromString(message)
        except DecodeError:
            return ""
        return _market_id(request)


def offered_methods(routes: RouteChoice = "all") -> Mapping[str, Method]:
    """By path; `public` and `admin` as GATEWAY_ROUTES has them."""
    services = {
        "public": PUBLIC_SERVICES,
        "admin": (ACCOUNTS, DATABASE, *ADMIN_SERVICES),
        "all": (*PUBLIC_SERVICES, *ADMIN_SERVICES),
    }[routes]
    methods = (
        Method(
            service=service.full_name,
            name=method.name,
            upstream=upstream,
            is_stream=method.server_streaming,
            request_class=message_factory.GetMessageClass(method.input_type),
            is_counted_there=upstream is Upstream.ORDERS
            and (method.name in COUNTED_THERE or service.name == "MarketAdminService"),
            is_for_admins=service.name == "UserAdminService"
            or (upstream is Upstream.DATABASE and method.name in ADMIN_METHODS),
        )
        for service, upstream in services
        for method in service.methods
        if not method.client_streaming and _is_for(routes, upstream, method.name)
    )
    return {method.path: method for method in methods}


def _is_for(routes: RouteChoice, upstream: Upstream, name: str) -> bool:
    """DbService is divided; the others belong to either side as they are."""
    return (
        routes == "all" or upstream is not Upstream.DATABASE or (name in ADMIN_METHODS) == (routes == "admin")
    )


def _market_id(request: Any) -> str:
    fields = request.DESCRIPTOR.fields_by_name
    if "market_id" in fields:
        return str(request.market_id)
    if "commands" in fields and request.commands:
        command = request.commands[0]
        which = command.WhichOneof("command")
        return _market_id(getattr(command, which)) if which else ""
    return ""
