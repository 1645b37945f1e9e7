"""Settings: environment variables without a prefix, read once in a service's `__main__.py`.

A service declares its own class from `ServiceSettings` and gets it from `run_service`.
Nothing else reads the environment.
"""

import sys
from typing import Literal, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

EXIT_BAD_SETTINGS = 2
Chosen = TypeVar("Chosen", bound=BaseSettings)


class ServiceSettings(BaseSettings):
    """What every process can be told. Port 0 means: take a free one (the log says which)."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    instance: str = ""
    """Name of this process among its kind, such as `order_service-1`; the service's name when empty."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 0
    ops_host: str = "127.0.0.1"
    ops_port: int = 0
    otel_exporter_otlp_endpoint: str = ""
    """Where traces go (OTLP over gRPC). Empty: nowhere; trace ids are made and carried all the same."""
    auth_grpc: str = ""
    """host:port of auth_service, which knows API keys and ended tokens. Empty: API keys are refused, and tokens work
    until they expire."""
    jwks_url: str = ""
    jwt_issuer: str = "predmarket"
    jwt_audience: str = "predmarket-api"


def load_settings(settings_class: type[Chosen]) -> Chosen:
    """The settings of the environment; a bad or missing one ends the process with a list of what is wrong."""
    try:
        return settings_class()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"setting {name}: {problem['msg']}", file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)
