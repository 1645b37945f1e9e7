"""What `make run` can be told, checked before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SERVICES = (
    "db_service",
    "order_service",
    "auth_service",
    "market_service",
    "analytics",
    "ws_service",
    "api_gateway",
)
SCALABLE = frozenset({"order_service", "market_service", "ws_service"})
INSTANCES_MAX = 8
TRADERS_MAX = 500
SHARDS_MAX = 64
SHARDS = 2
ADMIN_EMAIL = "admin@example.com"


class BadOption(Exception):
    """An option cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One run. `port` is the gateway's; ws_service takes the ones after it."""

    port: int
    data: Path
    scale: Mapping[str, int]
    demo: bool
    traders: int
    kafka: bool
    """Also start a Kafka broker, and feed the topics to it instead of JetStream."""
    shards: int
    """Of a new database. 0: the usual number; an existing database keeps its own."""
    admin_email: str | None
    """None: the administrator of the first run, or ADMIN_EMAIL."""
    admin_password: str | None
    """None: generated at the first run."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65_000:
            raise BadOption(f"PORT={self.port} is not a port between 1 and 65000")
        if not 0 <= self.traders <= TRADERS_MAX:
            raise BadOption(f"TRADERS={self.traders} is not between 0 and {TRADERS_MAX}")
        if not 0 <= self.shards <= SHARDS_MAX:
            raise BadOption(f"SHARDS={self.shards} is not between 1 and {SHARDS_MAX}")

    def instances(self, service: str) -> int:
        """How many processes of a service."""
        return self.scale.get(service, 1)


def parse_scale(text: str) -> dict[str, int]:
    """`ws_service=2 order_service=2` as a mapping. Raises BadOption."""
    scale: dict[str, int] = {}
    for word in text.replace(",", " ").split():
        service, _, number = word.partition("=")
        if service not in SCALABLE:
            raise BadOption(
                f"SCALE: {service!r} cannot be scaled here; one of {', '.join(sorted(SCALABLE))} can"
            )
        if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= INSTANCES_MAX:
            raise BadOption(f"SCALE: {service} needs a number from 1 to {INSTANCES_MAX}, as in {service}=2")
        scale[service] = int(number)
    return scale
