"""A flood of log-ins: what hashing cannot serve is refused at once and told when to come back; trading goes on."""

import asyncio
import time
from typing import Any

from tests.api_gateway.support import POINT, UNLIMITED, Reply, User, open_market, run_suite
from tests.auth_service.support import PASSWORD

FLOOD = 60
SLOW_HASHING = {
    "argon2_time_cost": 4,
    "argon2_memory_kib": 65_536,
    "hashing_workers": 1,
    "hashing_queue_max": 2,
    "hashing_queue_seconds": 60,
}


async def test_what_hashing_cannot_serve_is_refused_at_once_and_orders_go_on(
    fresh_database: Any, nats_server: Any, redis_server: Any
) -> None:
    settings = {"redis_url": redis_server.url, **UNLIMITED}
    running = run_suite(fresh_database, nats_server.url, auth_settings=SLOW_HASHING, all_settings=settings)
    async with running as suite:
        market_id, ann = await open_market(await suite.admin()), await suite.user("ann")
        waits: list[float] = []

        async def log_in(email: str) -> Reply:
            began = time.monotonic()
            reply = await User(suite.http, suite.url).ask(
                "POST", "/v1/auth/login", {"email": email, "password": PASSWORD}
            )
            if reply.status == 503:
                waits.append(time.monotonic() - began)
            return reply

        flood = [
            asyncio.create_task(log_in(ann.email if number % 2 else f"nobody{number}@example.org"))
            for number in range(FLOOD)
        ]
        order: dict[str, Any] = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "LIMIT"}
        order |= {"time_in_force": "GTC", "price_micros": 100_000, "quantity_micros": POINT}
        for _ in range(5):
            async with asyncio.timeout(2):  # ten times the bound
                await ann.post("/v1/orders", order)
        replies = await asyncio.gather(*flood)
    refused = [reply for reply in replies if reply.status == 503]
    assert {reply.status for reply in replies} <= {200, 401, 503}
    assert len(refused) >= FLOOD // 2
    assert {reply.code for reply in refused} == {"OVERLOADED"}
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
    served = [reply for reply in replies if reply.status != 503]
    assert len(served) >= 3
    assert sorted(waits)[len(waits) // 2] < 5
