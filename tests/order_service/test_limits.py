"""What is refused alone, what is refused at once, and a bus that comes and goes."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from engine.units import AMOUNT_MAX_MICROS
from launcher.embedded import NatsServer
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.order_service.support import (
    POINT,
    Client,
    Issuer,
    limit,
    new_user,
    place_until_answered,
    run_service_here,
    settings_of,
    verify,
)
from tests.servers import Database

ADMIN = new_user()


async def test_a_command_that_cannot_be_written_fails_alone(client: Client, fresh_database: Database) -> None:
    market, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    connection = await asyncpg.connect(fresh_database.superuser_url)
    await connection.execute(f"ALTER TABLE orders ADD CHECK (quantity_micros <> {7 * POINT})")
    await connection.close()
    places = [limit(market, 10 + number, 7 if number == 13 else 5) for number in range(20)]
    commands = [order_pb2.OrderCommand(place=place) for place in places]
    request = order_pb2.SubmitCommandsRequest(commands=commands)
    results = (await client.ask("SubmitCommands", request, user)).results
    assert [index for index, result in enumerate(results) if result.HasField("error")] == [13]
    assert results[13].error.code == "INTERNAL"
    assert "quantity_micros" not in results[13].error.message


async def test_a_full_inbox_refuses_at_once(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    url = fresh_database.url_for("pm_order")
    fields = settings_of(url, nats_server.url, issuer.url, inbox_max=2, batch_max=1)
    async with run_service_here(issuer, fields) as client:
        market, user = await client.open_market(new_user()), new_user()
        await client.grant(user)
        results = await asyncio.gather(
            *(client.ask("PlaceOrder", limit(market, 10, 1), user) for _ in range(60)), return_exceptions=True
        )
        codes = {error.code for error in results if isinstance(error, ApiError)}
        assert codes == {ErrorCode.OVERLOADED}
        assert any(not isinstance(result, BaseException) for result in results)
    await verify(fresh_database.superuser_url)


async def test_the_relay_goes_on_after_the_bus_was_away(
    issuer: Issuer, fresh_database: Database, private_nats: NatsServer
) -> None:
    fields = settings_of(fresh_database.url_for("pm_order"), private_nats.url, issuer.url)
    async with run_service_here(issuer, fields) as client:
        market, user = await client.open_market(new_user()), new_user()
        await client.grant(user)
        await asyncio.to_thread(private_nats.kill)
        for price in range(10, 20):
            await client.ask("PlaceOrder", limit(market, price, 1), user)
        await asyncio.to_thread(private_nats.start)
        connection = await asyncpg.connect(fresh_database.superuser_url)
        async with asyncio.timeout(30):
            while await connection.fetchval(
                """
                SELECT count(*) FROM shards s LEFT JOIN relay_cursors r USING (shard_id)
                WHERE s.commit_seq > coalesce(r.commit_seq, 0)
                """
            ):
                await asyncio.sleep(0.1)
        await connection.close()
    await verify(fresh_database.superuser_url)


async def test_all_grants_together_stay_below_the_maximum_over_two_processes(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    url, rich = fresh_database.url_for("pm_order"), new_user()
    first = settings_of(url, nats_server.url, issuer.url, order_shards="0,1", instance="order_service-1")
    second = settings_of(url, nats_server.url, issuer.url, order_shards="2,3", instance="order_service-2")
    async with run_service_here(issuer, first) as one, run_service_here(issuer, second) as two:
        for _ in range(8):
            await give(one, rich, AMOUNT_MAX_MICROS)
        # Each of these would fit alone; which of them do is for the row that both shards share to say.
        fifth = AMOUNT_MAX_MICROS // 5
        results = await asyncio.gather(
            *(give(client, rich, fifth) for _ in range(4) for client in (one, two)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, ApiError)]
        assert [error.code for error in refused] == [ErrorCode.GRANTS_EXHAUSTED] * 3
        assert len(results) - len(refused) == 5
        await give(two, rich, -fifth)
        await give(one, rich, fifth)
    await verify(fresh_database.superuser_url)


async def give(client: Client, user_id: str, amount_micros: int) -> None:
    """An administrator's grant."""
    request = order_pb2.GrantPointsRequest(
        idempotency_key=new_user(),
        user_id=user_id,
        kind="CORRECTION",
        amount_micros=amount_micros,
        reason="a test of the maximum",
    )
    await client.ask("GrantPoints", request, new_user(), "admin", "PointsService")


async def test_a_key_used_at_another_process_gets_its_first_answer_where_the_engine_would_refuse(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    url, user = fresh_database.url_for("pm_order"), new_user()
    first = settings_of(url, nats_server.url, issuer.url, order_shards="0,1", instance="order_service-1")
    second = settings_of(url, nats_server.url, issuer.url, order_shards="2,3", instance="order_service-2")
    async with run_service_here(issuer, first) as one, run_service_here(issuer, second) as two:
        await one.grant(user, 10)
        taken_back = order_pb2.GrantPointsRequest(
            idempotency_key=new_user(),
            user_id=user,
            kind="CORRECTION",
            amount_micros=-10 * POINT,
            reason="a test of keys",
        )
        answers = [
            await client.ask("GrantPoints", taken_back, ADMIN, "admin", "PointsService")
            for client in (one, two)
        ]
        assert [answer.replayed for answer in answers] == [False, True]
        assert answers[0].available_micros == answers[1].available_micros == 0
    await verify(fresh_database.superuser_url)


async def test_a_database_that_takes_no_writes_for_a_while_is_waited_for(
    issuer: Issuer, private_database: Database, nats_server: NatsServer
) -> None:
    fields = settings_of(private_database.url_for("pm_order"), nats_server.url, issuer.url)
    connection = await asyncpg.connect(private_database.superuser_url)

    async def read_only(state: str) -> None:
        await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {state}")
        await connection.execute("SELECT pg_reload_conf()")

    async with run_service_here(issuer, fields) as client:
        market, user = await client.open_market(new_user()), new_user()
        await client.grant(user)
        await read_only("on")
        await asyncio.sleep(2 * fields["lease_seconds"])  # it tries to renew its lease meanwhile
        with pytest.raises(ApiError) as refused:
            await client.ask("PlaceOrder", limit(market, 10, 1), user)
        assert refused.value.code is ErrorCode.UNAVAILABLE
        await connection.execute("SET default_transaction_read_only = off")
        await read_only("off")
        await place_until_answered(client, limit(market, 10, 1, idempotency_key=new_user()), user)
    await connection.close()
    await verify(private_database.superuser_url)
