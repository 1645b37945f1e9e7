"""What the analysts' endpoint counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics import REGISTRY

QUERIES: Final = Counter(
    "analytics_analysts_queries",
    "Queries of analysts, by ClickHouse's code (0: answered)",
    ["code"],
    registry=REGISTRY,
)
SECONDS: Final = Histogram(
    "analytics_analysts_seconds",
    "Time of an answered query, without waiting",
    buckets=(0.01, 0.05, 0.25, 1, 5, 15, 30, 60),
    registry=REGISTRY,
)
PRESENT: Final = Gauge("analytics_analysts_present", "Queries that wait or run", registry=REGISTRY)
ENDING: Final = Gauge(
    "analytics_analysts_ending", "Queries that are being ended, and still have their place", registry=REGISTRY
)
