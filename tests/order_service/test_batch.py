"""One batch in memory: how much of what waits it takes on, and what a failure in it leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_service.store.writes import Balance
from engine.commands import AnyCommand, PlaceOrder
from engine.hashing import state_hash
from engine.refusals import Refusal
from engine.state import OrderType, Outcome, ShardState, Side, TimeInForce
from order_service.batch import STEPS_MAX, Applier, Run
from order_service.requests import Request
from tests.engine.rig import START, Rig
from tests.engine.test_against_oracle import crowd, place, user_id
from tests.engine.test_published_numbers import MARKET
from tests.oracle.model import BUY, NO
from tests.order_service.support import new_user

MAKERS = 1_000
RICH = Balance(available=10**15)


@pytest.fixture
def rig() -> Rig:
    """A thousand resting offers of YES."""
    rig = crowd(MAKERS)
    for number in range(MAKERS):
        place(rig, number, user_id(number), BUY, NO, 10_000 * (1 + number % 40), 10_000)
    rig.engine.committed()
    return rig


def request_of(command: AnyCommand, **fields: Any) -> Request:
    return Request(answer=asyncio.get_running_loop().create_future(), command=command, **fields)


def order(user: str, **fields: Any) -> PlaceOrder:
    defaults: dict[str, Any] = {
        "side": Side.BUY,
        "outcome": Outcome.YES,
        "type": OrderType.LIMIT,
        "price_micros": 990_000,
        "quantity_micros": 10**14,
    }
    return PlaceOrder(market_id=MARKET, actor_id=user, order_id=new_user(), **{**defaults, **fields})


def run(rig: Rig, requests: list[Request]) -> Run:
    balances = {request.command.actor_id: RICH for request in requests if request.command}
    return Applier(rig.engine, 0).run(requests, {}, balances, 0, START)


async def test_a_batch_ends_when_it_has_done_its_share_of_work_though_all_of_it_was_refused(
    rig: Rig,
) -> None:
    sweep = order(new_user(), time_in_force=TimeInForce.FOK)
    requests = [request_of(sweep) for _ in range(50)]
    done = run(rig, requests)
    assert all(isinstance(prepared, Refusal) for prepared in done.prepared)
    assert 1 <= len(done.requests) == len(done.prepared) < 10
    assert list(done.requests) == requests[: len(done.requests)], "the first ones, in order"


async def test_ordinary_orders_fill_a_whole_batch(rig: Rig) -> None:
    users = [new_user() for _ in range(500)]
    requests = [request_of(order(user, price_micros=10_000, quantity_micros=10_000)) for user in users]
    before = rig.engine.state.journal.steps
    done = run(rig, requests)
    assert len(done.requests) == len(done.drafts) == 500
    assert rig.engine.state.journal.steps - before < STEPS_MAX


async def test_a_look_that_fails_leaves_nothing_to_be_written(rig: Rig) -> None:
    looks = 0

    def look(_state: ShardState) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise RuntimeError("a defect")

    before = state_hash(rig.state)
    done = run(rig, [request_of(order(new_user(), price_micros=10_000, quantity_micros=10_000), look=look)])
    assert isinstance(done.prepared[0], RuntimeError)
    assert (done.drafts, done.keys) == ([], [])
    assert state_hash(rig.state) == before
