"""The first grant: asked for at registration, repeated until it is paid, paid once."""

import asyncio
import time
from typing import Any

import pytest

from auth_service.identity import TREASURY_ID
from predmarket.auth.v1 import auth_pb2
from runtime.errors import ErrorCode
from runtime.ports import free_port
from tests.auth_service.conftest import StartAuth
from tests.auth_service.support import Auth, Points, serve_points


async def eventually(rows: Any, condition: str) -> None:
    """Waits until an SQL condition over `users` holds for every row."""
    async with asyncio.timeout(20):
        while not await rows.fetchval(f"SELECT bool_and({condition}) FROM users"):
            await asyncio.sleep(0.05)


async def test_the_grant_is_asked_for_by_a_service_with_the_users_own_key(auth: Auth, points: Points) -> None:
    assert points.verifier is not None  # which demands role `service` of the caller
    answer = await auth.register()
    paid = points.paid[f"grant:{answer.user.user_id}"]
    assert (paid.user_id, paid.kind, paid.amount_micros) == (answer.user.user_id, "SIGNUP", 10_000_000_000)
    assert answer.user.granted


async def test_the_treasury_is_funded_once(start_auth: StartAuth, points: Points, rows: Any) -> None:
    for _ in range(2):
        await start_auth(treasury_grant_micros=5_000_000)
    await eventually(rows, "granted_at IS NOT NULL")
    assert list(points.paid) == [f"grant:{TREASURY_ID}"]
    [paid] = points.paid.values()
    assert (paid.user_id, paid.kind, paid.amount_micros) == (str(TREASURY_ID), "GENESIS", 5_000_000)
    assert await rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'user.created'") == 1


async def test_people_register_while_order_service_is_down_and_get_their_points_later(
    start_auth: StartAuth, points: Points, rows: Any
) -> None:
    auth = await start_auth()
    points.refuse_with = ErrorCode.UNAVAILABLE
    began = time.perf_counter()
    answer = await auth.register()
    assert time.perf_counter() - began < 3
    assert not answer.user.granted
    points.refuse_with = None
    await eventually(rows, "granted_at IS NOT NULL")
    assert f"grant:{answer.user.user_id}" in points.paid
    me = await auth.ask("GetMe", auth_pb2.GetMeRequest(), token=answer.tokens.access_token)
    assert me.user.granted


async def test_an_order_service_that_hangs_delays_registration_by_a_second_at_most(
    start_auth: StartAuth,
) -> None:
    async with asyncio.timeout(10):
        silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(3600), "127.0.0.1", 0)
        host, port = silent.sockets[0].getsockname()
        auth = await start_auth(order_grpc=f"{host}:{port}")
        began = time.perf_counter()
        assert not (await auth.register()).user.granted
        assert time.perf_counter() - began < 3
        silent.close()


@pytest.mark.parametrize("why", [ErrorCode.NOT_SHARD_OWNER, ErrorCode.UNAVAILABLE, ErrorCode.OVERLOADED])
async def test_another_address_is_asked_when_one_does_not_pay(
    start_auth: StartAuth, points: Points, why: ErrorCode
) -> None:
    async with serve_points(Points()) as owner:
        points.refuse_with = why
        auth = await start_auth(order_grpc=f"{points.address}, {owner.address}")
        users = [(await auth.register(f"u{number}@example.org")).user for number in range(3)]
        assert all(user.granted for user in users)
        assert {f"grant:{user.user_id}" for user in users} <= set(owner.paid)
        assert len(points.asked) < 3  # the one that pays is asked first from then on


async def test_an_address_where_nobody_listens_costs_nothing(start_auth: StartAuth, points: Points) -> None:
    auth = await start_auth(order_grpc=f"127.0.0.1:{free_port()},{points.address}")
    assert (await auth.register()).user.granted


async def test_every_attempt_asks_for_the_amount_of_the_first(
    start_auth: StartAuth, points: Points, rows: Any
) -> None:
    points.refuse_with = ErrorCode.UNAVAILABLE
    old = await start_auth(signup_grant_micros=7_000)
    user = (await old.register()).user
    await start_auth(signup_grant_micros=9_000)
    points.refuse_with = None
    await eventually(rows, "granted_at IS NOT NULL")
    assert points.paid[f"grant:{user.user_id}"].amount_micros == 7_000


async def test_a_payment_whose_record_was_lost_is_paid_once(
    start_auth: StartAuth, points: Points, rows: Any
) -> None:
    auth = await start_auth()
    user = (await auth.register()).user
    await rows.execute("UPDATE users SET granted_at = NULL, grant_next_attempt_at = now()")
    await eventually(rows, "granted_at IS NOT NULL")
    assert points.asked.count(f"grant:{user.user_id}") >= 2
    assert len(points.paid) == 2  # the user's and the treasury's


async def test_a_grant_of_nothing_is_not_asked_for(start_auth: StartAuth, points: Points) -> None:
    auth = await start_auth(signup_grant_micros=0, treasury_grant_micros=0)
    assert (await auth.register()).user.granted
    assert points.asked == []


async def test_two_processes_share_the_work(start_auth: StartAuth, points: Points, rows: Any) -> None:
    points.refuse_with = ErrorCode.UNAVAILABLE
    auth = await start_auth(grant_wait_seconds=0.01, hashing_queue_max=100, hashing_queue_seconds=60)
    await start_auth()
    await asyncio.gather(*(auth.register(f"u{number}@example.org") for number in range(30)))
    points.refuse_with = None
    await eventually(rows, "granted_at IS NOT NULL")
    assert len(points.paid) == 31
