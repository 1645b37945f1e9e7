"""What order_service can be told, from environment variables (names in capitals)."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from engine.units import STEP_MAX
from order_service.failpoints import is_fail_point
from order_service.shard import ShardLimits
from runtime.rate_policy import RateSettings
from runtime.topic_settings import TopicSettings


class BusSettings(TopicSettings):
    """What the relays, and the command that rebuilds the buses, need."""

    database_url: SecretStr
    """As role pm_order."""
    bus_max_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """Bound of each of the two streams of market and user events."""


class OrderSettings(RateSettings, BusSettings):
    """The service's."""

    shard_count: int = Field(default=0, ge=0, le=1_024)
    """0: as the database says. Another number than the database's is refused."""
    order_shards: str = ""
    """Shards this process prefers, divided by commas; it stands by for the others."""
    advertised_address: str = ""
    """host:port that clients reach this process at; default: GRPC_HOST:GRPC_PORT."""
    lease_seconds: float = Field(default=5.0, ge=0.5, le=60)
    """A dead owner's shards are taken over after this long."""
    inbox_max: int = Field(default=5_000, ge=1, le=100_000)
    batch_max: int = Field(default=500, ge=1, le=5_000)
    trade_window: int = Field(default=256, ge=1, le=5_000)
    """Commands of one Trade stream in flight."""
    settlement_step: int = Field(default=500, ge=1, le=STEP_MAX)
    """Orders released or holders paid by one step."""
    jobs_seconds: float = Field(default=0.5, ge=0.05, le=60)
    """How often expiry, closing and settlement look for work."""
    fail_point: str = ""
    """For tests: where to kill (`pause-`: stop) this process."""

    @field_validator("order_shards")
    @classmethod
    def _are_numbers(cls, value: str) -> str:
        for part in value.split(","):
            if part.strip() and not part.strip().isdecimal():
                raise ValueError("must be shard numbers, divided by commas")
        return value

    @field_validator("fail_point")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value and not is_fail_point(value):
            raise ValueError("is not a fail point")
        return value

    def preferred_shards(self) -> frozenset[int]:
        return frozenset(int(part) for part in self.order_shards.split(",") if part.strip())

    def address(self) -> str:
        """Where clients reach this process: in containers the instance's name is its host's."""
        host = self.instance if self.grpc_host in ("0.0.0.0", "::") else self.grpc_host
        return self.advertised_address or f"{host}:{self.grpc_port}"

    def limits(self) -> ShardLimits:
        return ShardLimits(self.inbox_max, self.batch_max, self.lease_seconds / 4)
