"""What the endpoint can be told."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from analytics.analysts.sessions import Bounds
from analytics.analysts.turns import TurnLimits


class AnalystsSettings(BaseSettings):
    """Over the embedded engine; a server of ClickHouse has its own interface and its own limits."""

    http_host: str = "127.0.0.1"
    http_port: int = 0
    """Where analysts ask; 0: a free port."""
    analysts_seconds_max: int = Field(default=30, ge=1, le=600)
    analysts_memory_max_bytes: int = Field(default=500_000_000, ge=50_000_000)
    """Of one query. Running ones together: this times `analysts_running_max`."""
    analysts_result_rows_max: int = Field(default=1_000_000, ge=1)
    analysts_result_max_bytes: int = Field(default=100_000_000, ge=1)
    analysts_running_max: int = Field(default=2, ge=1, le=64)
    analysts_waiting_max: int = Field(default=8, ge=0)
    """Beyond them a query is answered with 503 and Retry-After."""
    analysts_wait_seconds: float = Field(default=10.0, gt=0)
    analysts_connections_max: int = Field(default=200, ge=1)
    """Open ones, asking or not; one more is closed at once, so that files are left for the engine."""
    analysts_per_user_max: int = Field(default=4, ge=1)
    analysts_user_seconds_per_hour: float = Field(default=900.0, gt=0)
    """Time that one user's queries may run; beyond it 429 until the next hour."""

    def bounds(self) -> Bounds:
        return Bounds(
            seconds_max=self.analysts_seconds_max,
            memory_max_bytes=self.analysts_memory_max_bytes,
            result_rows_max=self.analysts_result_rows_max,
            result_max_bytes=self.analysts_result_max_bytes,
        )

    def turn_limits(self) -> TurnLimits:
        return TurnLimits(
            running_max=self.analysts_running_max,
            waiting_max=self.analysts_waiting_max,
            wait_seconds=self.analysts_wait_seconds,
            per_user_max=self.analysts_per_user_max,
            user_seconds_per_hour=self.analysts_user_seconds_per_hour,
        )
