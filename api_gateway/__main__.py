"""`python -m api_gateway`: the public REST API."""

from api_gateway.process import serve
from api_gateway.settings import GatewaySettings
from runtime.lifecycle import run_service

if __name__ == "__main__":
    run_service("api_gateway", GatewaySettings, serve)
