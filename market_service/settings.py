"""What market_service can be told, from environment variables (names in capitals)."""

from pydantic import Field, SecretStr

from runtime.settings import ServiceSettings


class MarketSettings(ServiceSettings):
    """The service's."""

    database_url: SecretStr
    """As role pm_market, on the primary: what was acknowledged before a call must be in its answer."""
    nats_url: SecretStr
    """Where changes are heard of. Away: the replicas follow PostgreSQL, a second behind."""
    redis_url: SecretStr = SecretStr("")
    """Where lists, decided markets and yesterday's prices are cached. Empty or away: they are read each time."""
    quote_rows_max: int = Field(default=300_000, ge=1)
    """Open orders and positions kept in memory for quotes, over all markets; the market quoted longest ago goes first.
    One market larger than that is kept alone. A row takes about 1.5 kB."""
    streams_max: int = Field(default=1_000, ge=1)
    """Streams of prices and books at a time; one more is refused with OVERLOADED. Thousands belong to ws_service."""
    sweep_seconds: float = Field(default=1.0, gt=0, le=60)
    """How often the replicas are compared with PostgreSQL, which finds what the bus has lost."""
