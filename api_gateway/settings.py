"""What api_gateway can be told, from environment variables (names in capitals)."""

from typing import Literal

from pydantic import Field

from runtime.rate_policy import RateSettings

RouteChoice = Literal["public", "admin", "all"]


class GatewaySettings(RateSettings):
    """The service's."""

    http_host: str = "127.0.0.1"
    http_port: int = 0
    """Where the public API listens; 0: a free port."""
    auth_grpc: str
    """host:port of auth_service."""
    db_grpc: str
    """host:port of db_service."""
    market_grpc: str
    """host:port of market_service; of several processes their IP addresses, divided by commas."""
    analytics_grpc: str
    """host:port of analytics."""
    order_grpc: str
    """host:port of every order_service process, divided by commas."""
    ws_url: str = ""
    """The WebSocket's address, shown at /version."""
    gateway_routes: RouteChoice = "all"
    """`public`: all but /v1/admin. `admin`: /v1/admin, and what an administrator needs to get in."""
    cors_origins: str = "http://localhost:3000,http://localhost:5173"
    """Origins whose pages may call with credentials, divided by commas. The default is for development."""
    trusted_proxies: str = ""
    """Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as `10.0.0.0/8,127.0.0.1`."""
    insecure_cookies: bool = False
    """INSECURE_COOKIES=1: session cookies that browsers keep over plain http. Only for a network of one's own."""
    request_seconds: float = Field(default=10.0, gt=0, le=60)
    """How long one request may take; then 504."""
    gather: bool = True
    """Orders that arrive while calls are in flight go together in the next one. GATHER=0: each is a call of its own."""
