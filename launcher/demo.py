"""A few markets to try things on, opened when the database has none."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from launcher.folder import Admin
from predmarket_client import ApiError, Client, RetryPolicy, micros

PATIENCE_SECONDS = 20.0
FUNDING_POLL_SECONDS = 0.5  # within the 60 requests a minute of administrators


@dataclass(frozen=True, slots=True)
class DemoMarket:
    """What an administrator would fill in."""

    question: str
    description: str
    category: str
    liquidity_points: int
    probability_micros: int
    days_open: int


MARKETS = (
    DemoMarket(
        "Will it rain in Lisbon on the last day of this month?",
        "YES if the airport's weather station reports any rain on that day.",
        "weather",
        1_000,
        350_000,
        60,
    ),
    DemoMarket(
        "Will the next Python feature release come out on its planned date?",
        "YES if the final release is published on the date its release schedule names today.",
        "technology",
        1_000,
        800_000,
        180,
    ),
    DemoMarket(
        "Will a woman win the next chess candidates tournament?",
        "YES if the player who qualifies for the world championship match is a woman.",
        "sports",
        500,
        50_000,
        365,
    ),
)


async def open_demo_markets(url: str, admin: Admin) -> list[str]:
    """The questions opened; empty when there were markets already. Goes through the API, as an administrator would."""
    patient = RetryPolicy(attempts_max=100, total_seconds=PATIENCE_SECONDS, wait_max_seconds=0.5)
    async with Client(url, email=admin.email, password=admin.password, retries=patient) as client:
        existing = await client.markets.list(page_rows=1).page()
        if existing.items:
            return []
        return [await _open(client, market) for market in MARKETS]


async def _open(client: Client, market: DemoMarket) -> str:
    created = await client.admin.create_market(
        market.question,
        description=market.description,
        category=market.category,
        liquidity_micros=micros(market.liquidity_points),
        initial_probability_micros=market.probability_micros,
        closes_at=datetime.now(UTC) + timedelta(days=market.days_open),
    )
    await _activate(client, created.market_id)
    return market.question


async def _activate(client: Client, market_id: str) -> None:
    """The treasury of a new database is funded only a moment after the services are ready."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            await client.admin.activate(market_id)
            return
        except ApiError as error:
            if error.code != "INSUFFICIENT_FUNDS" or time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(FUNDING_POLL_SECONDS)
