"""What ws_service can be told, from environment variables (names in capitals)."""

from pydantic import Field, SecretStr

from runtime.settings import ServiceSettings


class WsSettings(ServiceSettings):
    """The service's."""

    http_host: str = "127.0.0.1"
    http_port: int = 0
    """Where /ws/v1 listens; 0: a free port."""
    nats_url: SecretStr
    redis_url: SecretStr
    """Where tickets are. Away: tickets are refused with UNAVAILABLE, everything else goes on."""
    order_grpc: str
    """host:port of every order_service process, divided by commas."""
    market_grpc: str = ""
    """host:port of market_service, which knows where markets stood a day ago; of several processes their IP addresses,
    divided by commas. Empty or away: tickers say null where a day's figures belong."""
    allowed_origins: str = ""
    """Origins browsers may come from, divided by commas; empty: this machine's own (localhost, 127.0.0.1) only.
    Who sends no Origin is no browser and is let in."""
    sockets_max: int = Field(default=12_000, ge=1)
    heartbeat_seconds: float = Field(default=15.0, gt=0)
    first_command_seconds: float = Field(default=10.0, gt=0)
    """Time to subscribe or to authenticate; then 1008."""
    messages_per_second: int = Field(default=10, ge=1)
    subscriptions_max: int = Field(default=200, ge=1)
    merge_seconds: float = Field(default=0.05, gt=0)
    """One book frame and one ticker per market in this time, at most."""
    backlog_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """What may wait for slow readers, of all sockets together; who would go beyond is closed with 1013."""
    goaway_spread_seconds: float = Field(default=3.0, ge=0)
    """A shutdown closes its sockets over this time."""
