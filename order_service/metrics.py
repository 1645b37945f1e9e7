"""What order_service measures."""

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics import REGISTRY

BATCH_ITEMS = Histogram(
    "order_batch_items",
    "Requests taken into one batch.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000),
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram("order_batch_seconds", "From taking a batch to its answers.", registry=REGISTRY)
EVENTS_WRITTEN = Counter("order_events_written", "Accepted commands that are durable.", registry=REGISTRY)
BATCHES_RERUN = Counter("order_batches_rerun", "Batches undone and run again.", ["reason"], registry=REGISTRY)
UNKNOWN_COMMITS = Counter("order_unknown_commits", "Commits whose reply was lost.", registry=REGISTRY)
INBOX_WAITING = Gauge("order_inbox_waiting", "Requests that wait.", ["shard"], registry=REGISTRY)
EPOCH = Gauge(
    "order_shard_epoch", "Epoch of each shard owned here; 0: not owned.", ["shard"], registry=REGISTRY
)
CLOCK_OFFSET_SECONDS = Gauge(
    "order_clock_offset_seconds",
    "This process' clock minus PostgreSQL's; alert beyond 2 s.",
    registry=REGISTRY,
)
RELAY_BEHIND = Gauge("order_relay_behind", "Durable events not yet published.", ["shard"], registry=REGISTRY)
TOPICS_BEHIND = Gauge(
    "order_topics_behind",
    "Durable events of the pass that goes to the topics now.",
    ["shard"],
    registry=REGISTRY,
)
