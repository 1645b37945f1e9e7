"""Some hundred hostile inputs over all four doors. `make hostile` throws as many as one likes."""

from typing import Any

from tests.api_gateway.support import UNLIMITED, run_suite
from tests.hostile.campaign import prepare, throw_all

COUNT = 600
SEED = "1"


async def test_no_door_breaks_or_tells_too_much(
    fresh_database: Any, nats_server: Any, redis_server: Any
) -> None:
    print("seed", SEED)
    settings = {"redis_url": redis_server.url, "messages_per_second": 10**6, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as suite:
        findings = await throw_all(await prepare(suite), COUNT, SEED)
    print(findings.answered)
    assert findings.bad == []
    assert findings.total >= COUNT
    for door, codes in findings.answered.items():
        assert len(codes) >= 3, f"{door} always answers the same: {codes}"
