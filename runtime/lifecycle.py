"""Runs a service: settings, logs, traces, ops server, then the service's own parts, until SIGTERM or SIGINT.

    async def serve(process: Process, settings: OrderSettings) -> None:
        pool = await process.enter(open_pool(...))
        server = await process.serve_grpc(["predmarket.order.v1.OrderService"], lambda grpc: add_...(servicer, grpc))
        process.spawn(relay.run(), name="relay")

    if __name__ == "__main__":
        run_service("order_service", OrderSettings, serve)

When `serve` returns, the process is ready. On a signal readiness falls first, then everything entered is closed in
reverse order, within 10 s; the exit code is 0. If a spawned task ends with an exception, or `process.fail(reason)`
is called, the process stops the same way with exit code 1, for its supervisor to start it again.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

import grpc
import uvloop
from aiohttp import web

from runtime import heap, metrics
from runtime.clock import Clock, SystemClock
from runtime.credentials import Authority, AuthService
from runtime.grpc_server import GrpcServer
from runtime.http_server import HttpServer
from runtime.logs import configure_logging, get_logger
from runtime.ops_http import Check, OpsServer
from runtime.settings import ServiceSettings, load_settings
from runtime.tasks import ended
from runtime.tokens import TokenVerifier
from runtime.tracing import configure_tracing

log = get_logger(__name__)

STOP_SECONDS = 10.0
GRPC_GRACE_SECONDS = 5.0
LAG_CHECK_SECONDS = 1.0
EXIT_FAILED = 1

Chosen = TypeVar("Chosen", bound=ServiceSettings)
Entered = TypeVar("Entered")


class Process:
    """What a service is given to wire itself: an exit stack, tasks, readiness, a way to stop."""

    def __init__(
        self, service: str, settings: ServiceSettings, stack: AsyncExitStack, ops: OpsServer
    ) -> None:
        self.service = service
        self.instance = settings.instance or service
        self.clock: Clock = SystemClock()
        self.ops = ops
        self._settings = settings
        self._stack = stack
        self._tasks: set[asyncio.Task[Any]] = set()
        self._servers: list[GrpcServer] = []
        self._stop = asyncio.Event()
        self.exit_code = 0

    async def enter(self, resource: AbstractAsyncContextManager[Entered]) -> Entered:
        """Open something that is closed when the process stops, last opened first."""
        return await self._stack.enter_async_context(resource)

    def on_stop(self, action: Callable[[], Awaitable[object]]) -> None:
        """Await this when the process stops, in the same order as what was entered."""
        self._stack.push_async_callback(action)

    def spawn(self, work: Coroutine[Any, Any, object], *, name: str) -> "asyncio.Task[Any]":
        """Run for as long as the process; cancelled in the order of the stack. Its failure stops the process."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        self._stack.push_async_callback(ended, task)
        return task

    def ready_when(self, name: str, check: Check) -> None:
        """Adds a check to /readyz."""
        self.ops.add_check(name, check)

    async def serve_grpc(
        self,
        services: Sequence[str],
        add_servicers: Callable[[grpc.aio.Server], object],
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> GrpcServer:
        """Start the gRPC server of the settings; it reports SERVING once the process is ready."""
        server = GrpcServer(
            host=self._settings.grpc_host,
            port=self._settings.grpc_port,
            services=services,
            interceptors=interceptors,
        )
        add_servicers(server.grpc)
        await server.start()
        self._servers.append(server)
        self._stack.push_async_callback(server.stop, GRPC_GRACE_SECONDS)
        return server

    async def serve_http(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        grace_seconds: float = 5.0,
        connections_max: int | None = None,
    ) -> HttpServer:
        """Start an HTTP server for an aiohttp application."""
        server = HttpServer(
            app, host=host, port=port, grace_seconds=grace_seconds, connections_max=connections_max
        )
        await server.start()
        self._stack.push_async_callback(server.stop)
        return server

    def token_verifier(self) -> TokenVerifier:
        """The verifier of the settings JWKS_URL, AUTH_GRPC, JWT_ISSUER and JWT_AUDIENCE."""
        assert self._settings.jwks_url, "JWKS_URL is not set"
        auth = AuthService(self._settings.auth_grpc) if self._settings.auth_grpc else None
        if auth is not None:
            self._stack.push_async_callback(auth.close)
        return self.token_verifier_of(self._settings.jwks_url, auth)

    def token_verifier_of(self, jwks_url: str, authority: Authority | None) -> TokenVerifier:
        """A verifier with keys and an authority of one's own choice."""
        verifier = TokenVerifier(
            jwks_url=jwks_url,
            issuer=self._settings.jwt_issuer,
            audience=self._settings.jwt_audience,
            authority=authority,
            clock=self.clock,
        )
        self._stack.push_async_callback(verifier.close)
        self.spawn(verifier.follow(), name="token changes")
        return verifier

    def stop(self) -> None:
        """End as if a SIGTERM had come."""
        self._stop.set()

    def fail(self, reason: str) -> None:
        """Stop in order, with exit code 1."""
        log.error("stopping", reason=reason)
        self.exit_code = EXIT_FAILED
        self._stop.set()

    async def set_ready(self, ready: bool) -> None:
        """What /readyz and gRPC health answer."""
        self.ops.ready = ready
        for server in self._servers:
            await server.set_serving(ready)

    async def wait_for_stop(self) -> None:
        await self._stop.wait()

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set()

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task failed", task=task.get_name(), exc_info=error)
            self.fail(f"task {task.get_name()} failed")


def run_service(
    service: str, settings_class: type[Chosen], serve: Callable[[Process, Chosen], Awaitable[None]]
) -> None:
    """Run until told to stop, then exit with the code. Does not return."""
    settings = load_settings(settings_class)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run_process(service, settings, serve))
    sys.stdout.flush()
    sys.exit(code)


async def run_process(
    service: str, settings: Chosen, serve: Callable[[Process, Chosen], Awaitable[None]]
) -> int:
    """The exit code. Handles SIGTERM and SIGINT of this process."""
    instance = settings.instance or service
    configure_logging(service, instance=instance, level=settings.log_level, form=settings.log_format)
    tracer = configure_tracing(service, instance=instance, endpoint=settings.otel_exporter_otlp_endpoint)
    ops = OpsServer(host=settings.ops_host, port=settings.ops_port)
    async with AsyncExitStack() as base:
        base.callback(tracer.shutdown)
        await ops.start()
        base.push_async_callback(ops.stop)
        stack = AsyncExitStack()
        process = Process(service, settings, stack, ops)
        process.spawn(_watch_loop_lag(), name="loop lag")
        _stop_on_signals(process)
        await _serve_until_stopped(process, settings, serve)
        await process.set_ready(False)
        log.info("stopping")
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await stack.aclose()
        except TimeoutError:
            log.error("did not stop in time", limit_seconds=STOP_SECONDS)
            process.exit_code = EXIT_FAILED
    log.info("stopped", exit_code=process.exit_code)
    return process.exit_code


async def _serve_until_stopped(
    process: Process, settings: Chosen, serve: Callable[[Process, Chosen], Awaitable[None]]
) -> None:
    """Start-up may wait for others without end, so a signal also ends it."""
    starting = asyncio.ensure_future(serve(process, settings))
    stopping = asyncio.ensure_future(process.wait_for_stop())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            heap.calm()
            await process.set_ready(True)
            log.info("ready", ops_port=process.ops.port)
            await stopping
    except Exception as error:  # the service could not start: say why, close what was opened, exit 1
        log.error("start failed", exc_info=error)
        process.fail("start failed")
    finally:
        await ended(starting, stopping)


def _stop_on_signals(process: Process) -> None:
    def stop(name: str) -> None:
        if process.is_stopping:
            os._exit(EXIT_FAILED)  # asked twice: at once
        log.info("signal", name=name)
        process.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)


async def _watch_loop_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due_at = loop.time() + LAG_CHECK_SECONDS
        await asyncio.sleep(LAG_CHECK_SECONDS)
        metrics.LOOP_LAG_SECONDS.set(max(0.0, loop.time() - due_at))
