"""A service that does nothing but live as the runtime has it: `python -m tests.launcher.fake_service`."""

import sys

from runtime.lifecycle import Process, run_service
from runtime.settings import ServiceSettings


class FakeSettings(ServiceSettings):
    """`mode`: how it behaves at its start."""

    mode: str = "works"


async def serve(_process: Process, settings: FakeSettings) -> None:
    if settings.mode == "dies":
        sys.exit("cannot go on")


if __name__ == "__main__":
    run_service("fake_service", FakeSettings, serve)
