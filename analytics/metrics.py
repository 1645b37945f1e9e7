"""What analytics counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics import REGISTRY

ROWS: Final = Counter("analytics_rows", "Rows written to ClickHouse", ["table"], registry=REGISTRY)
REPEATS: Final = Counter(
    "analytics_repeats", "Messages that were in ClickHouse already", ["topic"], registry=REGISTRY
)
FETCHED: Final = Counter(
    "analytics_fetched",
    "Messages read from the database, because the bus had lost them or never had them",
    ["topic"],
    registry=REGISTRY,
)
BEHIND: Final = Gauge("analytics_behind", "Messages of the bus not read yet", ["topic"], registry=REGISTRY)
LAG_SECONDS: Final = Histogram(
    "analytics_lag_seconds",
    "From an event's time to its rows being written",
    ["topic"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
IS_WRITER: Final = Gauge("analytics_is_writer", "1 where this process writes", registry=REGISTRY)
