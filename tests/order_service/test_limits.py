"""What is refused alone, what is refused at once, and a bus that comes and goes."""

from __future__ import annotations

import asyncio

import asyncpg

from launcher.embedded import NatsServer
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.order_service.support import (
    POINT,
    Client,
    Issuer,
    limit,
    new_user,
    run_service_here,
    settings_of,
    verify,
)
from tests.servers import Database


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
