"""Fixtures: a running ws_service."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.ws_service.support import Live, run_live


@pytest.fixture
async def live(nats_server: Any) -> AsyncIterator[Live]:
    async with run_live(nats_server.url) as running:
        yield running


@pytest.fixture
def market() -> str:
    return str(uuid.uuid4())
