"""What api_gateway counts."""

from prometheus_client import Counter, Histogram

from runtime.metrics import REGISTRY, SECONDS_BUCKETS

REQUESTS = Counter(
    "http_requests_total",
    "Requests answered, by route and status",
    ("method", "route", "status"),
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "http_request_seconds", "Time to answer a request", ("route",), buckets=SECONDS_BUCKETS, registry=REGISTRY
)
