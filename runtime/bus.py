"""NATS JetStream: a connection that never gives up, streams, and headers that carry the request's ids.

bus = await process.enter(open_bus(settings.nats_url, name=settings.instance))
await ensure_stream(bus.jetstream(), StreamConfig(name="MARKET_EVENTS", subjects=["market.>"], ...))
await bus.jetstream().publish(subject, data, headers={**outgoing_headers(), "Nats-Msg-Id": ...})
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from runtime import metrics
from runtime.logs import get_logger

log = get_logger(__name__)

CONNECT_TIMEOUT_SECONDS = 3
RECONNECT_WAIT_SECONDS = 0.5
PENDING_MAX_BYTES = 8 * 1024 * 1024
CLOSE_TIMEOUT_SECONDS = 2.0
PING_SECONDS = 10
STREAM_NAME_IN_USE = 10058
TAKEN_SECONDS = 2.0
DEAD_SECONDS = 60
"""Long after a connection that does not answer (two pings of PING_SECONDS) has been replaced."""


@asynccontextmanager
async def open_bus(url: str, *, name: str, wait: bool = True) -> AsyncIterator[Client]:
    """A connection that reconnects for ever. `wait`: also wait, for ever, for the first one (else TimeoutError).

    While NATS is away, publishing raises nats.errors.Error; what may not be lost is repeated by its owner.
    """
    client = await _connect(url, name, wait)
    try:
        yield client
    finally:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await client.close()
        except (TimeoutError, NatsError) as error:
            log.warning("the bus did not close in time", error=type(error).__name__)


async def until_taken(bus: Client) -> None:
    """Returns when the server has taken what was said to it before, subscriptions above all. Raises TimeoutError.

    Instead of `flush`, which when it has given up leaves behind a future that ends the connection's reader as soon as
    the late answer comes.
    """
    flushing = asyncio.create_task(bus.flush(DEAD_SECONDS), name="flush")
    flushing.add_done_callback(
        lambda task: task.cancelled() or task.exception()
    )  # perhaps nobody waits any more
    async with asyncio.timeout(TAKEN_SECONDS):
        await asyncio.shield(flushing)


async def ensure_stream(stream: JetStreamContext, config: StreamConfig) -> None:
    """Make the stream, or give an existing one this configuration. Safe from several processes at once."""
    assert config.name is not None
    try:
        await stream.add_stream(config)
    except BadRequestError as error:
        if error.err_code != STREAM_NAME_IN_USE:
            raise
        await stream.update_stream(config)


async def stream_exists(stream: JetStreamContext, name: str) -> bool:
    """False after the server was wiped; its owner then makes it again."""
    try:
        await stream.stream_info(name)
    except NotFoundError:
        return False
    return True


async def _connect(url: str, name: str, wait: bool) -> Client:
    async def on_error(error: Exception) -> None:
        # Slow consumers are told only here: their messages are dropped, and the reader must resume from its own place.
        log.warning("bus error", error=f"{type(error).__name__}: {error}")

    async def on_disconnect() -> None:
        metrics.BUS_DISCONNECTS.inc()
        log.warning("the bus is away")

    async def on_reconnect() -> None:
        log.info("the bus is back")

    # nats-py itself tries for ever, also at first, when the number of attempts is -1.
    async with asyncio.timeout(None if wait else CONNECT_TIMEOUT_SECONDS):
        return await nats.connect(
            url,
            name=name,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_SECONDS * random.uniform(0.8, 1.2),
            pending_size=PENDING_MAX_BYTES,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
        )
