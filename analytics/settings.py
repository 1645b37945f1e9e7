"""What analytics can be told, from environment variables (names in capitals)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from analytics.analysts.settings import AnalystsSettings
from analytics.clickhouse import Place
from runtime.settings import ServiceSettings


class ClickHouseSettings(BaseSettings):
    """Where ClickHouse is."""

    clickhouse_url: SecretStr | None = None
    """Of a server: http://user:password@host:8123, or https. Absent: the embedded engine."""
    clickhouse_folder: Path | None = None
    """The embedded engine's. One process at a time."""

    @model_validator(mode="after")
    def _one_of_both(self) -> ClickHouseSettings:
        if self.clickhouse_url is None and self.clickhouse_folder is None:
            raise ValueError("set CLICKHOUSE_URL, or CLICKHOUSE_FOLDER for the embedded engine")
        return self

    def place(self) -> Place:
        if self.clickhouse_url:
            return Place(url=self.clickhouse_url.get_secret_value())
        assert self.clickhouse_folder is not None, "one of both"
        # The engine takes the first part of a relative path for a host.
        return Place(folder=self.clickhouse_folder.absolute())


class CommandSettings(ClickHouseSettings):
    """For the commands."""

    database_url: SecretStr
    """PostgreSQL, as pm_analytics."""
    analytics_ops_url: str = ""
    """http://host:port of the running process's ops server: it answers for a folder that it has."""


class AnalyticsSettings(ServiceSettings, ClickHouseSettings, AnalystsSettings):
    """For the process."""

    database_url: SecretStr
    """PostgreSQL, as pm_analytics."""
    nats_url: SecretStr
    kafka_bootstrap: str = ""
    """host:port of Kafka brokers, divided by commas. Empty: the topics come from JetStream."""
    ingest_interval_seconds: float = Field(default=1.0, ge=0, le=60)
    """Rows of a topic are written at most so often: fewer, larger inserts for a little more delay. Without a pause
    while many messages wait."""
    compare_seconds: float = Field(default=15.0, gt=0, le=3600)
    """How often PostgreSQL is compared, for what the bus has lost."""
    niceness: int = Field(default=10, ge=0, le=19)
    """Added to the whole process' niceness: on a machine that trades, too, orders come before figures over time."""
