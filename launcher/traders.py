"""Simulated traders: `python -m launcher.traders --url http://... --count 5`. They use the client as any bot would.

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

from predmarket_client import (
    ApiError,
    Client,
    Market,
    NewOrder,
    NoAnswer,
    Outcome,
    RetryPolicy,
    limit,
    market,
    micros,
    opposite_price,
)

# Some 24 actions a minute: within the limits that hold for everybody.
PAUSE_SECONDS = (1.0, 4.0)
ORDER_POINTS_MAX = 50
PATIENT = RetryPolicy(attempts_max=100, total_seconds=60)
# What a market may answer a trader; anything else is a defect worth seeing.
EXPECTED = frozenset(
    {"INSUFFICIENT_FUNDS", "INSUFFICIENT_SHARES", "MARKET_NOT_ACTIVE", "MARKET_CLOSED", "SLIPPAGE_EXCEEDED"}
    | {"NOTHING_FILLED", "SELF_TRADE", "TOO_MANY_OPEN_ORDERS", "RATE_LIMITED", "OVERLOADED", "UNAVAILABLE"}
    | {"DEADLINE_EXCEEDED", "ORDER_NOT_FOUND", "NOT_SHARD_OWNER", "POST_ONLY_WOULD_TAKE"}
)


@dataclass(slots=True)
class Trader:
    """One account and what it believes."""

    client: Client
    chance: random.Random
    email: str
    password: str
    believes_micros: int = 500_000

    async def run(self) -> None:
        """Runs until cancelled."""
        async with self.client:
            await self.client.accounts.register(self.email, self.password, self.email.split("@")[0])
            while True:
                await self._try()
                await asyncio.sleep(self.chance.uniform(*PAUSE_SECONDS))

    async def _try(self) -> None:
        try:
            await self._act()
        except ApiError as error:
            if error.code not in EXPECTED:
                report(self.email, "unexpected answer", str(error))
        except NoAnswer as error:
            report(self.email, "the gateway is away", str(error))

    async def _act(self) -> None:
        markets = (await self.client.markets.list(status="ACTIVE", page_rows=20).page()).items
        if not markets:
            return
        chosen = self.chance.choice(markets)
        drifted = self.believes_micros + self.chance.randint(-40_000, 40_000)
        self.believes_micros = min(950_000, max(50_000, drifted))
        action = self.chance.choices((self._take, self._rest, self._sell, self._cancel), (40, 35, 15, 10))[0]
        await action(chosen)

    async def _take(self, chosen: Market) -> None:
        outcome: Outcome = "YES" if self.believes_micros > chosen.probability_micros else "NO"
        amount = micros(self.chance.randint(1, ORDER_POINTS_MAX))
        await self._place(
            market("BUY", outcome, chosen.market_id, amount_micros=amount, max_slippage_bps=1_000)
        )

    async def _rest(self, chosen: Market) -> None:
        tick, lot = chosen.tick_micros, chosen.lot_micros
        outcome: Outcome = self.chance.choice(("YES", "NO"))
        yes = chosen.probability_micros
        fair = yes if outcome == "YES" else opposite_price(yes)
        price = (fair - self.chance.randint(1, 8) * tick) // tick * tick
        quantity = micros(self.chance.randint(1, ORDER_POINTS_MAX)) // lot * lot
        if tick <= price <= opposite_price(tick):
            await self._place(
                limit("BUY", outcome, chosen.market_id, price_micros=price, quantity_micros=quantity)
            )

    async def _sell(self, chosen: Market) -> None:
        held = (await self.client.portfolio.get()).position(chosen.market_id)
        outcome: Outcome = self.chance.choice(("YES", "NO"))
        free = held.free_micros(outcome) if held else 0
        if free > 0:
            await self._place(
                market("SELL", outcome, chosen.market_id, quantity_micros=free, max_slippage_bps=2_000)
            )

    async def _cancel(self, chosen: Market) -> None:
        await self.client.orders.cancel_all(chosen.market_id)

    async def _place(self, order: NewOrder) -> None:
        await self.client.orders.place(order)


def report(trader: str, event: str, detail: str) -> None:
    print(json.dumps({"service": "traders", "trader": trader, "event": event, "detail": detail}), flush=True)


async def trade(url: str, count: int, seed: int) -> None:
    """Runs until cancelled."""
    run = secrets.token_hex(4)
    report("all", "started", f"{count} traders, seed {seed}")
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            email, password = f"trader-{number + 1}-{run}@example.com", secrets.token_urlsafe(18)
            trader = Trader(
                client=Client(url, email=email, password=password, retries=PATIENT),
                chance=random.Random(seed * 1_000 + number),
                email=email,
                password=password,
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
