"""A service as a process of its own, as `make run` starts it; several of one side by side behind one address."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from runtime.ports import free_port

SIDE_BY_SIDE: Final = int(os.environ.get("SIDE_BY_SIDE", "1"))
"""From 2 on, the fixtures that run api_gateway and ws_service run as many of each, behind one address."""

READY_SECONDS: Final = 30.0
CHUNK_BYTES: Final = 65_536
PAUSE_SECONDS: Final = 10.0


def pause(pid: int) -> None:
    """SIGSTOP, until it has taken effect: its threads stop one after the other, and some still answer meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PAUSE_SECONDS
    while _states(pid) != {"T"}:
        assert time.monotonic() < deadline, "it does not stop"
        time.sleep(0.001)


def _states(pid: int) -> set[str]:
    """Of its threads, as proc(5) names them."""
    return {
        stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")
    }


class ServiceProcess:
    """`python -m <module>`; keeps its port over restarts."""

    def __init__(self, module: str, settings: Mapping[str, Any]) -> None:
        self.module = module
        self.port = free_port()
        self._ops_port = free_port()
        self._environment = {
            **os.environ,
            **{name.upper(): _as_text(value) for name, value in settings.items()},
            "HTTP_PORT": str(self.port),
            "OPS_PORT": str(self._ops_port),
            "LOG_LEVEL": "WARNING",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Until it says that it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.module, env=self._environment
        )
        url = f"http://127.0.0.1:{self._ops_port}/readyz"
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                assert self._process.returncode is None, f"{self.module} ended"
                await asyncio.sleep(0.05)

    async def end(self, how: signal.Signals) -> int:
        """Its exit code; 0 when it was never started."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(how)
        return await self._process.wait()


@asynccontextmanager
async def service_processes(
    module: str, settings: Mapping[str, Any], count: int
) -> AsyncIterator[list[ServiceProcess]]:
    """So many, ready; told to stop afterwards."""
    processes = [ServiceProcess(module, settings) for _ in range(count)]
    async with _running(processes):
        yield processes


@asynccontextmanager
async def side_by_side(
    module: str, settings: Mapping[str, Any], count: int, port: int
) -> AsyncIterator[None]:
    """So many processes behind this port of 127.0.0.1: each connection goes to the next of them."""
    processes = [ServiceProcess(module, settings) for _ in range(count)]
    # They end first, and say goodbye through it.
    async with balanced([process.port for process in processes], port), _running(processes):
        yield


@asynccontextmanager
async def balanced(ports: Sequence[int], port: int) -> AsyncIterator[None]:
    """Each connection to this port of 127.0.0.1 goes to the next of the others."""
    balancer = _Balancer(ports)
    server = await asyncio.start_server(balancer.serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        await balancer.close()


@asynccontextmanager
async def _running(processes: Sequence[ServiceProcess]) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(process.start() for process in processes))
        yield
    finally:
        await asyncio.gather(*(process.end(signal.SIGTERM) for process in processes))


class _Balancer:
    """Passes bytes on, both ways."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._turn = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._turn += 1
        port = self._ports[self._turn % len(self._ports)]
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            for side in (writer, up_writer):
                _keep_little(side)
            await asyncio.gather(_passed_on(reader, up_writer), _passed_on(up_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def close(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def _keep_little(writer: asyncio.StreamWriter) -> None:
    """So that a client that does not read is slow to the service, and not only to us."""
    connection = writer.get_extra_info("socket")
    for direction in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        connection.setsockopt(socket.SOL_SOCKET, direction, CHUNK_BYTES)


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side has nothing more to say, which the other is told."""
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    finally:
        with suppress(OSError):
            writer.close()


def _as_text(value: Any) -> str:
    """As a setting stands in the environment."""
    return json.dumps(value) if isinstance(value, Mapping) else str(value)
