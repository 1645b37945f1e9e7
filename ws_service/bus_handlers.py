"""Subscriptions to the bus: a message that does not fit is reported, and ends nothing."""

from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from runtime.logs import get_logger
from ws_service.metrics import BAD_BUS_MESSAGES

log = get_logger(__name__)


async def listen(bus: Client, subject: str, take: Callable[[bytes], None]) -> Subscription:
    """Calls `take` with each message's data; what it raises because a message does not fit is logged."""

    async def handle(message: Msg) -> None:
        try:
            take(message.data)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            BAD_BUS_MESSAGES.inc()
            log.error("a bus message does not fit", subject=message.subject, exc_info=error)

    callback: Any = handle
    return await bus.subscribe(subject, cb=callback)


async def stop_listening(subscriptions: list[Subscription]) -> None:
    """Ends them; those that have ended already too."""
    for subscription in subscriptions:
        if not subscription._closed:
            await subscription.unsubscribe()
