"""What ws_service counts."""

from prometheus_client import Counter, Gauge

from runtime.metrics import REGISTRY

SOCKETS = Gauge("ws_sockets", "Open sockets", registry=REGISTRY)
SLOW_SOCKETS = Gauge(
    "ws_slow_sockets", "Sockets that do not read as fast as they are sent", registry=REGISTRY
)
BACKLOG_BYTES = Gauge("ws_backlog_bytes", "Bytes that wait for slow readers", registry=REGISTRY)
CLOSED = Counter("ws_closed_total", "Sockets closed by us, by code", ("code",), registry=REGISTRY)
FRAMES = Counter("ws_frames_total", "Frames written", ("channel",), registry=REGISTRY)
REFETCHES = Counter("ws_book_refetches_total", "Books read anew after a gap", registry=REGISTRY)
USER_GAPS = Counter(
    "ws_user_gaps_total", "Own events that stayed missing, so that their reader was told", registry=REGISTRY
)
BAD_BUS_MESSAGES = Counter("ws_bad_bus_messages_total", "Bus messages that do not fit", registry=REGISTRY)
