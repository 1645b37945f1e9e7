"""auth_service's metrics, in one list."""

from prometheus_client import Counter, Gauge

from runtime.metrics import REGISTRY

HASHING_PENDING = Gauge("auth_hashing_pending", "Passwords being hashed or waiting for it", registry=REGISTRY)
HASHING_REFUSED = Counter(
    "auth_hashing_refused_total", "Passwords refused, the queue full", registry=REGISTRY
)
LOG_INS = Counter("auth_log_ins_total", "Log-ins, by outcome", ("outcome",), registry=REGISTRY)
REFRESHES = Counter("auth_refreshes_total", "Refreshes, by outcome", ("outcome",), registry=REGISTRY)
PASSWORDS_CHANGED = Counter(
    "auth_passwords_changed_total", "Passwords changed, by way", ("way",), registry=REGISTRY
)
MAILS = Counter("auth_mails_total", "Mails, by outcome", ("outcome",), registry=REGISTRY)
CANCELLATIONS = Counter(
    "auth_order_cancellations_total", "Passes over a user's open orders", ("outcome",), registry=REGISTRY
)
FIRST_GRANTS = Counter("auth_first_grants_total", "First grants asked for", ("outcome",), registry=REGISTRY)
