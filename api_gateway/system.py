"""/healthz, /readyz, /version, /v1/time."""

from collections.abc import Callable

from api_gateway.routing import Answer, Call, Handler
from runtime.clock import to_rfc3339
from runtime.errors import ApiError, ErrorCode

API_VERSION = "v1"


async def health(_call: Call) -> Answer:
    """The loop runs."""
    return Answer({"status": "ok"})


def readiness(is_ready: Callable[[], bool]) -> Handler:
    """Whether this process takes requests."""

    async def ready(_call: Call) -> Answer:
        if not is_ready():
            raise ApiError(ErrorCode.UNAVAILABLE)
        return Answer({"status": "ready"})

    return ready


async def version(call: Call) -> Answer:
    """What speaks here, and where the live feed is."""
    return Answer(
        {"name": "play-prediction-engine", "api": API_VERSION, "ws_url": call.clients.ws_url or None}
    )


async def now(call: Call) -> Answer:
    """Our clock, for orders with an end."""
    micros = call.clients.clock.now_micros()
    return Answer({"time": to_rfc3339(micros), "time_micros": micros})
