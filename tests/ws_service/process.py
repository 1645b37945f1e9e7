"""`python -m ws_service` as a process of its own, to be killed."""

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.processes import ServiceProcess


class WsProcess(ServiceProcess):
    """One; it keeps its port over restarts."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__("ws_service", settings)
        self.url = f"ws://127.0.0.1:{self.port}/ws/v1"


@asynccontextmanager
async def ws_process(settings: Mapping[str, Any]) -> AsyncIterator[WsProcess]:
    process = WsProcess(settings)
    await process.start()
    try:
        yield process
    finally:
        await process.end(signal.SIGKILL)
