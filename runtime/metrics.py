"""The metrics every process has, in one list. A service has its own in `<service>/metrics.py`, on the same REGISTRY.

Labels have few values, known beforehand: never an id, never what a client sent.
"""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)

GRPC_CALLS = Counter(
    "grpc_server_calls_total",
    "gRPC calls answered, by method and code",
    ("method", "code"),
    registry=REGISTRY,
)
GRPC_SECONDS = Histogram(
    "grpc_server_seconds",
    "Time to answer a gRPC call",
    ("method",),
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
GRPC_IN_FLIGHT = Gauge("grpc_server_in_flight", "gRPC calls being worked on", registry=REGISTRY)
LOOP_LAG_SECONDS = Gauge(
    "event_loop_lag_seconds", "How late the event loop woke up, at its last check", registry=REGISTRY
)
POSTGRES_CONNECTIONS = Gauge(
    "postgres_pool_connections", "Connections of the pool", ("pool", "state"), registry=REGISTRY
)
BUS_DISCONNECTS = Counter("bus_disconnects_total", "Times the connection to NATS was lost", registry=REGISTRY)
TOKEN_CHANGES_AT = Gauge(
    "token_changes_last_success_seconds",
    "When the feed of ended tokens was last read (Unix time)",
    registry=REGISTRY,
)
JWKS_FETCHES = Counter("jwks_fetches_total", "Fetches of the signing keys", ("outcome",), registry=REGISTRY)


def exposition() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)
