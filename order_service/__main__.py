"""`python -m order_service` serves."""

from order_service.process import serve
from order_service.settings import OrderSettings
from runtime.lifecycle import run_service

if __name__ == "__main__":
    run_service("order_service", OrderSettings, serve)
