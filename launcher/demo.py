"""A few markets to try things on, opened when the database has none."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from launcher.folder import Admin
from launcher.rest import RestClient, retried

POINT_MICROS = 1_000_000
PATIENCE_SECONDS = 20.0


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
    async with RestClient(url) as client:
        await retried(lambda: client.log_in(admin.email, admin.password), seconds=PATIENCE_SECONDS)
        existing = await retried(lambda: client.get("/v1/markets", limit="1"), seconds=PATIENCE_SECONDS)
        if existing["items"]:
            return []
        return [await _open(client, market) for market in MARKETS]


async def _open(client: RestClient, market: DemoMarket) -> str:
    closes_at = datetime.now(UTC) + timedelta(days=market.days_open)
    body = {
        "question": market.question,
        "description": market.description,
        "category": market.category,
        "liquidity_micros": market.liquidity_points * POINT_MICROS,
        "initial_probability_micros": market.probability_micros,
        "closes_at": closes_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    created = await retried(lambda: client.post("/v1/admin/markets", body), seconds=PATIENCE_SECONDS)
    path = f"/v1/admin/markets/{created['market_id']}/activate"
    await retried(lambda: client.post(path), seconds=PATIENCE_SECONDS)
    return market.question
