"""Kills, lost replies and second owners: acknowledged is durable, and a key has one effect."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import asyncpg
import pytest

from launcher.embedded import NatsServer
from order_service.failpoints import POINTS
from runtime.errors import ApiError, ErrorCode
from tests.order_service.proxy import Fault, commit_proxy
from tests.order_service.support import (
    Client,
    Issuer,
    answer_to,
    limit,
    new_user,
    place_until_answered,
    run_service_here,
    settings_of,
    start_process,
    verify,
)
from tests.processes import pause
from tests.servers import Database


@pytest.mark.parametrize("point", sorted(POINTS))
async def test_killed_at_any_point_it_restarts_with_one_effect_per_key(
    point: str, issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    fields = settings_of(fresh_database.url_for("pm_order"), nats_server.url, issuer.url)
    async with AsyncExitStack() as stack:
        client = Client(issuer, f"127.0.0.1:{fields['grpc_port']}", stack)
        user = new_user()
        async with run_service_here(issuer, fields) as before:
            market = await before.open_market(new_user())
            await before.grant(user)
        process = await start_process({**fields, "fail_point": point})
        request = limit(market, 50, 10, idempotency_key="once")
        asking = asyncio.create_task(place_until_answered(client, request, user))
        assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
        process = await start_process(fields)
        try:
            order = await asking
            again = await answer_to(client, request, user)
            assert again.replayed
            assert again.order == order
        finally:
            process.send_signal(signal.SIGTERM)
            ended_with = await process.wait()
        assert ended_with == 0
    await verify(fresh_database.superuser_url)
    assert await count_orders(fresh_database) == 1


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE_COMMIT, Fault.CUT_AFTER_COMMIT, Fault.HANG_AFTER_COMMIT])
async def test_a_lost_reply_of_a_commit_is_resolved(
    fault: Fault, issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    server = fresh_database.server
    async with commit_proxy("127.0.0.1", server.port) as proxy:
        url = fresh_database.url_for("pm_order").replace(f":{server.port}/", f":{proxy.port}/")
        fields = settings_of(url, nats_server.url, issuer.url, lease_seconds=20.0, jobs_seconds=30.0)
        async with run_service_here(issuer, fields) as client:
            market, user = await client.open_market(new_user()), new_user()
            await client.grant(user)
            await asyncio.sleep(0.5)  # the relay has saved its cursor: its statements are no COMMITs anyway
            proxy.fault = fault
            request = limit(market, 50, 10, idempotency_key="once")
            if fault is Fault.CUT_BEFORE_COMMIT:
                with pytest.raises(ApiError) as refused:
                    await client.ask("PlaceOrder", request, user)
                assert refused.value.code is ErrorCode.UNAVAILABLE
            first = await client.ask("PlaceOrder", request, user)
            assert proxy.struck == 1
            again = await client.ask("PlaceOrder", request, user)
            assert again.replayed
            assert again.order == first.order
            await client.ask("PlaceOrder", limit(market, 51, 10), user)
    await verify(fresh_database.superuser_url)
    assert await count_orders(fresh_database) == 2


async def test_a_paused_owner_writes_nothing_after_a_takeover(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    url = fresh_database.url_for("pm_order")
    first = settings_of(url, nats_server.url, issuer.url)
    second = settings_of(url, nats_server.url, issuer.url, instance="order_service-2", order_shards="")
    async with AsyncExitStack() as stack:
        old_client = Client(issuer, f"127.0.0.1:{first['grpc_port']}", stack)
        new_client = Client(issuer, f"127.0.0.1:{second['grpc_port']}", stack)
        old = await start_process(first)
        new = None
        try:
            market, user = await old_client.open_market(new_user()), new_user()
            await old_client.grant(user)
            pause(old.pid)
            request = limit(market, 50, 10, idempotency_key="once")
            late = asyncio.create_task(place_until_answered(old_client, request, user))
            new = await start_process(second)
            order = await place_until_answered(new_client, limit(market, 49, 10), user)
            assert order.status == "OPEN"
            old.send_signal(signal.SIGCONT)
            await asyncio.sleep(1.5)
            late.cancel()
            await asyncio.gather(late, return_exceptions=True)
            with pytest.raises(ApiError) as refused:
                await old_client.ask("PlaceOrder", limit(market, 48, 10), user)
            assert refused.value.code is ErrorCode.NOT_SHARD_OWNER
            assert refused.value.details["address"] == new_client.address
            await place_until_answered(new_client, request, user)
        finally:
            for process in (old, new):
                if process is not None:
                    process.kill()
                    await process.wait()
    await verify(fresh_database.superuser_url)
    assert await count_orders(fresh_database) == 2


@pytest.mark.parametrize("point", ["begin", "rows_written", "commit_sent"])
async def test_an_owner_paused_inside_its_transaction_blocks_nobody(
    point: str, issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    """The stopped owner holds the shard's and the user's rows; PostgreSQL ends its session after a second."""
    url = fresh_database.url_for("pm_order")
    first = settings_of(url, nats_server.url, issuer.url)
    second = settings_of(url, nats_server.url, issuer.url, instance="order_service-2", order_shards="")
    processes: list[asyncio.subprocess.Process] = []
    async with AsyncExitStack() as stack:
        old_client = Client(issuer, f"127.0.0.1:{first['grpc_port']}", stack)
        new_client = Client(issuer, f"127.0.0.1:{second['grpc_port']}", stack)
        async with run_service_here(issuer, first) as before:
            market, user = await before.open_market(new_user()), new_user()
            await before.grant(user)
        try:
            processes.append(await start_process({**first, "fail_point": f"pause-{point}"}))
            request = limit(market, 50, 10, idempotency_key="once")
            paused = asyncio.create_task(place_until_answered(old_client, request, user))
            await asyncio.sleep(1.5)
            processes.append(await start_process(second))
            order = await place_until_answered(new_client, request, user)
            processes[0].send_signal(signal.SIGCONT)
            await asyncio.sleep(1.0)
            paused.cancel()
            await asyncio.gather(paused, return_exceptions=True)
            assert (await new_client.ask("PlaceOrder", request, user)).order == order
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()
    await verify(fresh_database.superuser_url)
    assert await count_orders(fresh_database) == 1


async def test_another_shard_count_is_refused(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    fields = settings_of(fresh_database.url_for("pm_order"), nats_server.url, issuer.url, shard_count=3)
    process = await start_process(fields)
    assert await asyncio.wait_for(process.wait(), 30) == 1


async def test_without_nats_trading_goes_on(issuer: Issuer, fresh_database: Database) -> None:
    fields = settings_of(fresh_database.url_for("pm_order"), "nats://127.0.0.1:9", issuer.url)
    async with run_service_here(issuer, fields) as client:
        market, user = await client.open_market(new_user()), new_user()
        await client.grant(user)
        assert (await client.ask("PlaceOrder", limit(market, 50, 10), user)).order.status == "OPEN"
    await verify(fresh_database.superuser_url)


async def count_orders(database: Database) -> int:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM orders"))
    finally:
        await connection.close()
