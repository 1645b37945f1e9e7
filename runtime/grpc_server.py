"""A gRPC server with health, reflection, limits, keepalive and a graceful stop.

server = GrpcServer(host="127.0.0.1", port=0, services=["predmarket.order.v1.OrderService"])
order_pb2_grpc.add_OrderServiceServicer_to_server(OrderServicer(...), server.grpc)
await server.start()      # NOT_SERVING until
server.set_serving(True)
...
await server.stop(grace_seconds=5)
"""

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from runtime.grpc_interceptor import ServerInterceptor
from runtime.logs import get_logger
from runtime.ports import free_port

log = get_logger(__name__)

MESSAGE_MAX_BYTES = 4 * 1024 * 1024
METADATA_MAX_BYTES = 16 * 1024
STREAMS_PER_CONNECTION_MAX = 10_000
PENDING_MAX = 20_000

SERVER_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
    ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
    ("grpc.max_metadata_size", METADATA_MAX_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_MAX_BYTES),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    # Calls that came and were not begun yet: all of them, so that none is cancelled without a word by the library,
    # which begins to at 1,000; what is too much is refused by the service, with OVERLOADED.
    ("grpc.server.max_pending_requests", PENDING_MAX),
    ("grpc.server.max_pending_requests_hard_limit", PENDING_MAX),
    ("grpc.so_reuseport", 0),  # else a second process takes the same port without a word
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class GrpcServer:
    """`grpc` is the server to add servicers to; `port` the one it listens on once started."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        services: Sequence[str],
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self.grpc = grpc.aio.server(interceptors=[ServerInterceptor(), *interceptors], options=SERVER_OPTIONS)
        self._services = tuple(services)
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self.grpc)
        self._host = host
        self.port = port or free_port(host)

    async def start(self) -> None:
        """Listen; health says NOT_SERVING. Raises OSError when the port is taken."""
        address = f"{self._host}:{self.port}"
        try:
            self.port = self.grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}") from error
        await self.set_serving(False)
        await self.grpc.start()
        log.info("gRPC listens", address=f"{self._host}:{self.port}")

    async def set_serving(self, serving: bool) -> None:
        """What health checks are told, for the server as a whole and for each of its services."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ("", *self._services):
            await self._health.set(name, status)

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Refuse new calls, let running ones end for so long, cancel the rest."""
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace_seconds)
