"""Settings of db_service, from the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from runtime.settings import ServiceSettings


class CommandSettings(BaseSettings):
    """For `migrate` (DATABASE_URL of pm_owner), `verify` and `replay` (of pm_db)."""

    database_url: SecretStr
    shard_count: int | None = Field(default=None, ge=1, le=1024)


class DbSettings(ServiceSettings):
    """For the process that serves reads."""

    database_url: SecretStr
    """The primary, as pm_db."""
    database_read_url: SecretStr | None = None
    """A replica for history, markets and audit; absent: the primary."""
