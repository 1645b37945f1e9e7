"""Simulated traders: `python -m launcher.traders --url http://... --count 5`. They use the REST API as anybody would.

Each believes in a probability of its own that drifts, and buys, sells, rests orders and cancels accordingly.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
from dataclasses import dataclass
from typing import Any

import aiohttp

from launcher.rest import RestClient, RestError, retried

PAUSE_SECONDS = (0.5, 3.0)
ORDER_POINTS_MAX = 50
POINT_MICROS = 1_000_000
PATIENCE_SECONDS = 60.0
# What a market may answer a trader; anything else is a defect worth seeing.
EXPECTED = frozenset(
    {"INSUFFICIENT_FUNDS", "INSUFFICIENT_SHARES", "MARKET_NOT_ACTIVE", "MARKET_CLOSED", "SLIPPAGE_EXCEEDED"}
    | {"NOTHING_FILLED", "SELF_TRADE", "TOO_MANY_OPEN_ORDERS", "RATE_LIMITED", "OVERLOADED", "UNAVAILABLE"}
    | {"DEADLINE_EXCEEDED", "ORDER_NOT_FOUND", "NOT_SHARD_OWNER", "POST_ONLY_WOULD_TAKE"}
)


@dataclass(slots=True)
class Trader:
    """One account and what it believes."""

    client: RestClient
    chance: random.Random
    email: str
    password: str
    believes_micros: int = 500_000

    async def run(self) -> None:
        """Runs until cancelled."""
        async with self.client:
            await self._trade()

    async def _trade(self) -> None:
        await retried(self._open_account, seconds=PATIENCE_SECONDS)
        while True:
            try:
                await self._act()
            except RestError as error:
                if error.code == "UNAUTHENTICATED":
                    await retried(
                        lambda: self.client.log_in(self.email, self.password), seconds=PATIENCE_SECONDS
                    )
                elif error.code not in EXPECTED:
                    report(self.email, "unexpected answer", str(error))
            except (aiohttp.ClientError, TimeoutError) as error:
                report(self.email, "the gateway is away", type(error).__name__)
            await asyncio.sleep(self.chance.uniform(*PAUSE_SECONDS))

    async def _open_account(self) -> None:
        await self.client.register(self.email, self.password, self.email.split("@")[0])

    async def _act(self) -> None:
        markets = (await self.client.get("/v1/markets", status="ACTIVE", limit="20"))["items"]
        if not markets:
            return
        market = self.chance.choice(markets)
        self.believes_micros = min(
            950_000, max(50_000, self.believes_micros + self.chance.randint(-40_000, 40_000))
        )
        action = self.chance.choices((self._take, self._rest, self._sell, self._cancel), (40, 35, 15, 10))[0]
        await action(market)

    async def _take(self, market: dict[str, Any]) -> None:
        outcome = "YES" if self.believes_micros > market["probability_micros"] else "NO"
        amount = self.chance.randint(1, ORDER_POINTS_MAX) * POINT_MICROS
        await self._place(
            market, side="BUY", outcome=outcome, type="MARKET", amount_micros=amount, max_slippage_bps=1_000
        )

    async def _rest(self, market: dict[str, Any]) -> None:
        tick, lot = market["tick_micros"], market["lot_micros"]
        outcome = self.chance.choice(("YES", "NO"))
        fair = market["probability_micros"] if outcome == "YES" else 1_000_000 - market["probability_micros"]
        price = (fair - self.chance.randint(1, 8) * tick) // tick * tick
        quantity = self.chance.randint(1, ORDER_POINTS_MAX) * POINT_MICROS // lot * lot
        if tick <= price <= 1_000_000 - tick:
            await self._place(
                market,
                side="BUY",
                outcome=outcome,
                type="LIMIT",
                time_in_force="GTC",
                price_micros=price,
                quantity_micros=quantity,
            )

    async def _sell(self, market: dict[str, Any]) -> None:
        for position in (await self.client.get("/v1/portfolio"))["positions"]:
            if position["market_id"] != market["market_id"]:
                continue
            outcome = self.chance.choice(("YES", "NO"))
            side = outcome.lower()
            free = position[f"{side}_micros"] - position[f"locked_{side}_micros"]
            if free > 0:
                await self._place(
                    market,
                    side="SELL",
                    outcome=outcome,
                    type="MARKET",
                    quantity_micros=free,
                    max_slippage_bps=2_000,
                )

    async def _cancel(self, market: dict[str, Any]) -> None:
        await self.client.delete("/v1/orders", market_id=market["market_id"])

    async def _place(self, market: dict[str, Any], **order: Any) -> None:
        body = {"market_id": market["market_id"], "client_order_id": secrets.token_hex(8), **order}
        await self.client.post("/v1/orders", body)


def report(trader: str, event: str, detail: str) -> None:
    print(json.dumps({"service": "traders", "trader": trader, "event": event, "detail": detail}), flush=True)


async def trade(url: str, count: int, seed: int) -> None:
    """Runs until cancelled."""
    run = secrets.token_hex(4)
    report("all", "started", f"{count} traders, seed {seed}")
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            trader = Trader(
                client=RestClient(url),
                chance=random.Random(seed * 1_000 + number),
                email=f"trader-{number + 1}-{run}@example.com",
                password=secrets.token_urlsafe(18),
            )
            group.create_task(trader.run(), name=trader.email)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=os.environ.get("GATEWAY_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(trade(arguments.url, arguments.count, arguments.seed))
    except KeyboardInterrupt:
        report("all", "stopped", "")


if __name__ == "__main__":
    main()
