"""`python -m ws_service`: the live feed."""

from runtime.lifecycle import run_service
from ws_service.process import serve
from ws_service.settings import WsSettings

if __name__ == "__main__":
    run_service("ws_service", WsSettings, serve)
