"""Which processes run, and the settings of each: a pure function of the options, the servers and the ports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from launcher.options import SERVICES, RunOptions

DATABASE = "predmarket"
ROLES: Mapping[str, str] = {
    "db_service": "pm_db",
    "order_service": "pm_order",
    "auth_service": "pm_auth",
    "market_service": "pm_market",
    "analytics": "pm_analytics",
}
COUNTING = frozenset({"api_gateway", "order_service"})
PUBLIC_PER_MINUTE = 100  # as usual, and room for simulated traders to register: all come from one address
EDGES = frozenset({"api_gateway", "ws_service"})  # stopped first, so that nobody is cut off in the middle


@dataclass(frozen=True, slots=True)
class Service:
    """One process: `python -m <module>` with these settings."""

    instance: str
    module: str
    ops_port: int
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()

    @property
    def is_edge(self) -> bool:
        return self.module in EDGES


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the embedded servers and their folders are. `database_url` gives the URL for a role."""

    database_url: Callable[[str], str]
    nats_url: str
    redis_url: str
    kafka_bootstrap: str
    """Empty: none was started; the topics are on JetStream, or where KAFKA_BOOTSTRAP of the environment says."""
    mail_folder: str
    """Where auth_service writes mails while no SMTP_HOST is set."""
    gateway_secret: str
    """How the gateway proves to order_service that it has counted a call."""
    clickhouse_folder: str
    """Of analytics' embedded engine, unless CLICKHOUSE_URL of the environment names a server."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All processes in the order they are started, and what clients need to know."""

    services: tuple[Service, ...]
    url: str
    ws_url: str
    grpc: Mapping[str, str]
    """The gRPC addresses of the services that bots call, by what they are for."""
    sql_url: str
    """Where analysts ask the embedded ClickHouse."""


def make_plan(
    options: RunOptions, servers: Servers, free_port: Callable[[], int], ws_ports: list[int]
) -> Plan:
    """`ws_ports`: one per ws_service process, chosen near the gateway's."""
    names = {
        service: [f"{service}-{number + 1}" for number in range(options.instances(service))]
        for service in SERVICES
    }
    ops = {instance: free_port() for instances in names.values() for instance in instances}
    grpc = {instance: free_port() for instance in ops}
    sql_port = free_port()
    url = f"http://127.0.0.1:{options.port}"
    ws_url = f"ws://127.0.0.1:{ws_ports[0]}/ws/v1"
    shared = {
        "NATS_URL": servers.nats_url,
        "REDIS_URL": servers.redis_url,
        "JWKS_URL": f"http://127.0.0.1:{ops[names['auth_service'][0]]}/.well-known/jwks.json",
        "AUTH_GRPC": f"127.0.0.1:{grpc[names['auth_service'][0]]}",
        "DB_GRPC": f"127.0.0.1:{grpc[names['db_service'][0]]}",
        "ANALYTICS_GRPC": f"127.0.0.1:{grpc[names['analytics'][0]]}",
        "MARKET_GRPC": ",".join(f"127.0.0.1:{grpc[instance]}" for instance in names["market_service"]),
        "ORDER_GRPC": ",".join(f"127.0.0.1:{grpc[instance]}" for instance in names["order_service"]),
        "WS_URL": ws_url,
        "SHARD_COUNT": str(options.shards),
        "GRPC_HOST": "127.0.0.1",
        "OPS_HOST": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
    }
    if servers.kafka_bootstrap:
        shared["KAFKA_BOOTSTRAP"] = servers.kafka_bootstrap
    services = []
    for module, instances in names.items():
        for number, instance in enumerate(instances):
            own = {
                "INSTANCE": instance,
                "OPS_PORT": str(ops[instance]),
                "GRPC_PORT": str(grpc[instance]),
            }
            if module in COUNTING:
                own["GATEWAY_SECRET"] = servers.gateway_secret
            if module in ROLES:
                own["DATABASE_URL"] = servers.database_url(ROLES[module])
            if module == "auth_service":
                own["MAIL_FOLDER"] = servers.mail_folder
            if module == "analytics":
                own["CLICKHOUSE_FOLDER"] = servers.clickhouse_folder
                own["HTTP_PORT"] = str(sql_port)
            if module == "order_service":
                own["ORDER_SHARDS"] = preferred_shards(number, len(instances), options.shards)
            if module == "ws_service":
                own["HTTP_PORT"] = str(ws_ports[number])
            if module == "api_gateway":
                own["HTTP_PORT"] = str(options.port)
                if options.traders:
                    own["RATE_PUBLIC_PER_MINUTE"] = str(PUBLIC_PER_MINUTE + 2 * options.traders)
            services.append(Service(instance, module, ops[instance], {**shared, **own}))
    addresses = {
        name: shared[f"{name.upper()}_GRPC"] for name in ("order", "market", "analytics", "db", "auth")
    }
    return Plan(tuple(services), url, ws_url, addresses, f"http://127.0.0.1:{sql_port}")


def preferred_shards(number: int, processes: int, shards: int) -> str:
    """`0,2` for the first of two processes with four shards; a process without one is a standby."""
    return ",".join(str(shard) for shard in range(shards) if shard % processes == number)
