"""Random orders, each quoted and then placed: the quote must be what is done, to the micro."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError
from tests.market_service.support import Exchange
from tests.order_service.support import new_user

POINT = 1_000_000
SIDES = (common_pb2.SIDE_BUY, common_pb2.SIDE_SELL)
OUTCOMES = (common_pb2.OUTCOME_YES, common_pb2.OUTCOME_NO)
QUOTE_TIMES = {
    order_pb2.TIME_IN_FORCE_GTC: market_pb2.QUOTE_TIME_GTC,
    order_pb2.TIME_IN_FORCE_IOC: market_pb2.QUOTE_TIME_IOC,
    order_pb2.TIME_IN_FORCE_FOK: market_pb2.QUOTE_TIME_FOK,
}


@dataclass(slots=True)
class Tally:
    """How it went."""

    placed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    venues: dict[str, int] = field(default_factory=dict)
    netted: int = 0


class Traffic:
    """Some users in one market. `random` decides everything."""

    def __init__(self, exchange: Exchange, market_id: str, users: list[str], chance: random.Random) -> None:
        self._exchange = exchange
        self._market_id = market_id
        self._users = users
        self._random = chance
        self.tally = Tally()

    async def step(self) -> None:
        """One order, quoted, placed and compared."""
        user, request = self._random.choice(self._users), self._order()
        quoted = await self._quote(request, user)
        placed = await _or_code(self._exchange.orders.ask("PlaceOrder", request, user))
        if isinstance(placed, str):
            self._same_refusal(quoted, placed, request)
        else:
            assert not isinstance(quoted, str), (quoted, request)
            self._same_figures(quoted, placed.order, request)

    async def _quote(self, request: Any, user: str) -> market_pb2.GetQuoteResponse | str:
        wanted = market_pb2.GetQuoteRequest(
            market_id=request.market_id,
            side=request.side,
            outcome=request.outcome,
            type=market_pb2.QUOTE_TYPE_LIMIT
            if request.type == order_pb2.ORDER_TYPE_LIMIT
            else market_pb2.QUOTE_TYPE_MARKET,
            time_in_force=QUOTE_TIMES.get(request.time_in_force, market_pb2.QUOTE_TIME_UNSPECIFIED),
            price_micros=request.price_micros,
            quantity_micros=request.quantity_micros,
            amount_micros=request.amount_micros,
            close_position=request.close_position,
            post_only=request.post_only,
            cancel_own_makers=request.self_trade == order_pb2.SELF_TRADE_POLICY_CANCEL_MAKER,
            max_slippage_bps=request.max_slippage_bps,
            with_impact=self._random.random() < 0.1,
        )
        answer: market_pb2.GetQuoteResponse | str = await _or_code(
            self._exchange.reader.ask("GetQuote", wanted, user)
        )
        return answer

    def _same_refusal(self, quoted: market_pb2.GetQuoteResponse | str, code: str, request: Any) -> None:
        self.tally.refused[code] = self.tally.refused.get(code, 0) + 1
        if isinstance(quoted, str):
            assert quoted == code, (quoted, code, request)
        elif code == "SLIPPAGE_EXCEEDED":
            assert not quoted.is_within_slippage, (quoted, request)
        else:
            assert (code, quoted.is_affordable) == ("INSUFFICIENT_FUNDS", False), (quoted, request)

    def _same_figures(self, quoted: market_pb2.GetQuoteResponse, order: Any, request: Any) -> None:
        figures, fills = quoted.execution, list(order.fills)
        assert (quoted.is_affordable, quoted.is_within_slippage) == (True, True), (quoted, request)
        assert quoted.valid_seq + 1 == order.seq
        told = (
            figures.quantity_micros,
            figures.cost_micros or figures.proceeds_micros + figures.fee_micros,
            figures.fee_micros,
            figures.netted_micros,
            figures.resting_micros,
            figures.average_price_micros,
        )
        done = (
            order.filled_micros,
            order.cost_micros,
            order.fee_micros,
            order.netted_micros,
            order.remaining_micros,
            order.average_price_micros,
        )
        assert told == done, (quoted, order)
        for name in ("quantity_micros", "cost_micros", "fee_micros", "netted_micros"):
            assert sum(getattr(leg, name) for leg in quoted.legs) == sum(
                getattr(fill, name) for fill in fills
            )
        assert _runs(quoted.legs) == _runs(fills), (quoted, order)
        self.tally.placed += 1
        self.tally.netted += bool(order.netted_micros)
        for fill in fills:
            self.tally.venues[fill.venue] = self.tally.venues.get(fill.venue, 0) + 1

    def _order(self) -> Any:
        chance = self._random
        common: dict[str, Any] = {
            "market_id": self._market_id,
            "side": chance.choice(SIDES),
            "outcome": chance.choice(OUTCOMES),
            "self_trade": chance.choice((0, 0, order_pb2.SELF_TRADE_POLICY_CANCEL_MAKER)),
        }
        if chance.random() < 0.6:
            return order_pb2.PlaceOrderRequest(
                **common,
                type=order_pb2.ORDER_TYPE_LIMIT,
                time_in_force=chance.choice((*QUOTE_TIMES, order_pb2.TIME_IN_FORCE_GTC)),
                price_micros=chance.randint(30, 70) * 10_000,
                quantity_micros=chance.randint(10, 400_000) * 100,
                post_only=chance.random() < 0.02,
            )
        market: dict[str, Any] = {"type": order_pb2.ORDER_TYPE_MARKET, "max_slippage_bps": 5_000}
        if chance.random() < 0.1:
            market["max_slippage_bps"] = chance.randint(0, 200)
        if common["side"] == common_pb2.SIDE_BUY and chance.random() < 0.6:
            largest = 40 * POINT if chance.random() < 0.97 else 20_000 * POINT
            return order_pb2.PlaceOrderRequest(**common, **market, amount_micros=chance.randint(900, largest))
        if common["side"] == common_pb2.SIDE_SELL and chance.random() < 0.3:
            return order_pb2.PlaceOrderRequest(**common, **market, close_position=True)
        return order_pb2.PlaceOrderRequest(**common, **market, quantity_micros=chance.randint(1, 30 * POINT))


def _runs(parts: Any) -> list[tuple[str, int, int]]:
    """Neighbours of one venue and price together."""
    runs: list[tuple[str, int, int]] = []
    for part in parts:
        venue, price, quantity = part.venue, part.price_micros, part.quantity_micros
        if runs and runs[-1][:2] == (venue, price):
            quantity += runs.pop()[2]
        runs.append((venue, price, quantity))
    return runs


async def _or_code(asked: Any) -> Any:
    try:
        return await asked
    except ApiError as error:
        return str(error.code)


async def quote_then_trade(exchange: Exchange, count: int, seed: int) -> Tally:
    """Raises AssertionError where a quote was not what was done. The seed is in every message."""
    chance = random.Random(seed)
    users = [new_user() for _ in range(8)]
    for user in users:
        await exchange.orders.grant(user)
    market_id = await exchange.orders.open_market(new_user(), initial_probability_micros=500_000)
    sets = order_pb2.MintSetsRequest(market_id=market_id, quantity_micros=1_000 * POINT)
    for user in users[::2]:  # who can sell at once; the others have what they buy
        await exchange.orders.ask("MintSets", sets, user)
    traffic = Traffic(exchange, market_id, users, chance)
    for number in range(count):
        try:
            await traffic.step()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, order {number}: {error}") from error
    return traffic.tally
