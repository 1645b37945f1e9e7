"""What the process says about itself."""

from typing import Literal

from api_gateway.answers.base import Count, Shape, Time


class Health(Shape):
    """The loop runs."""

    status: Literal["ok"]


class Readiness(Shape):
    """Requests are taken."""

    status: Literal["ready"]


class Version(Shape):
    """What speaks here, and where the live feed is."""

    name: str
    api: str
    ws_url: str | None


class Now(Shape):
    """Our clock."""

    time: Time
    time_micros: Count
