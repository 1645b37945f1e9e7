"""What market_service counts."""

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics import REGISTRY

LIVE_MARKETS = Gauge("market_live_markets", "Markets whose book is replicated", registry=REGISTRY)
QUOTE_ROWS = Gauge("market_quote_rows", "Orders and positions in memory for quotes", registry=REGISTRY)
STREAMS = Gauge("market_streams", "Open streams of prices and books", registry=REGISTRY)
CATCH_UPS = Counter(
    "market_catch_ups_total",
    "Replicas brought up to date from PostgreSQL, by how",
    ("how",),
    registry=REGISTRY,
)
BAD_BUS_MESSAGES = Counter("market_bad_bus_messages_total", "Bus messages that do not fit", registry=REGISTRY)
CACHE = Counter(
    "market_cache_total", "Look-ups in Redis, by what and result", ("what", "result"), registry=REGISTRY
)
QUOTE_SECONDS = Histogram(
    "market_quote_seconds",
    "Time the engine takes for a quote",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    registry=REGISTRY,
)
