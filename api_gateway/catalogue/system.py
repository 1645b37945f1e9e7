"""Routes that tell about the process and the API itself."""

from collections.abc import Callable

from api_gateway import system
from api_gateway.answers import system as answers
from api_gateway.routing import Access, Bucket, Route
from runtime.errors import ErrorCode

AREA = "system"


def routes(is_ready: Callable[[], bool]) -> list[Route]:
    """`is_ready`: whether this process takes requests."""
    return [
        Route(
            method="GET",
            path="/healthz",
            handler=system.health,
            access=Access.OPEN,
            bucket=Bucket.NONE,
            area=AREA,
            summary="Whether the process lives",
            answers={200: answers.Health},
        ),
        Route(
            method="GET",
            path="/readyz",
            handler=system.readiness(is_ready),
            access=Access.OPEN,
            bucket=Bucket.NONE,
            area=AREA,
            summary="Whether the process takes requests",
            answers={200: answers.Readiness},
            errors=(ErrorCode.UNAVAILABLE,),
        ),
        Route(
            method="GET",
            path="/version",
            handler=system.version,
            access=Access.OPEN,
            bucket=Bucket.NONE,
            area=AREA,
            summary="What speaks here, and where the live feed is",
            answers={200: answers.Version},
        ),
        Route(
            method="GET",
            path="/v1/time",
            handler=system.now,
            access=Access.OPEN,
            area=AREA,
            summary="The server's clock",
            answers={200: answers.Now},
        ),
    ]
