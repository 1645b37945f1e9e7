"""`python -m ws_service` as a process of its own, to be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from runtime.ports import free_port


class WsProcess:
    """One; it keeps its port over restarts."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/ws/v1"
        self._environment = {
            **os.environ,
            **{name.upper(): str(value) for name, value in settings.items()},
            "HTTP_PORT": str(self.port),
            "LOG_LEVEL": "WARNING",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Until it takes sockets."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ws_service", env=self._environment
        )
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                try:
                    await (await session.ws_connect(self.url)).close()
                    return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    async def end(self, how: signal.Signals) -> int:
        """Its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        return await self._process.wait()


@asynccontextmanager
async def ws_process(settings: Mapping[str, Any]) -> AsyncIterator[WsProcess]:
    process = WsProcess(settings)
    await process.start()
    try:
        yield process
    finally:
        await process.end(signal.SIGKILL)
