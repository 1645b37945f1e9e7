"""`python -m market_service`."""

from market_service.process import serve
from market_service.settings import MarketSettings
from runtime.lifecycle import run_service

if __name__ == "__main__":
    run_service("market_service", MarketSettings, serve)
