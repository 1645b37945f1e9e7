"""Native gRPC as a bot uses it: the README's snippet as printed, against two processes."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from launcher.embedded import NatsServer
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.order_service.support import Client, Issuer, limit, new_user, run_service_here, settings_of
from tests.servers import Database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def pair(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> AsyncIterator[tuple[Client, Client]]:
    """The owner of every shard, and a process that stands by."""
    async with AsyncExitStack() as stack:
        clients = []
        for name, shards in (("order_service-1", "0,1,2,3"), ("order_service-2", "")):
            fields = settings_of(
                fresh_database.url_for("pm_order"),
                nats_server.url,
                issuer.url,
                instance=name,
                order_shards=shards,
                lease_seconds=30.0,
            )
            clients.append(await stack.enter_async_context(run_service_here(issuer, fields)))
        yield clients[0], clients[1]


async def test_a_process_that_owns_nothing_names_the_owner(pair: tuple[Client, Client]) -> None:
    owner, other = pair
    market_id, user = await owner.open_market(new_user()), new_user()
    await owner.grant(user)
    listed = await other.ask(
        "ListShards", order_pb2.ListShardsRequest(market_id=market_id), user, service="ShardService"
    )
    assert {shard.address for shard in listed.shards if shard.shard == listed.market_shard} == {owner.address}
    with pytest.raises(ApiError) as caught:
        await other.ask("PlaceOrder", limit(market_id, 10, 1), user)
    assert caught.value.code is ErrorCode.NOT_SHARD_OWNER
    assert caught.value.details["address"] == owner.address


async def test_the_snippet_of_the_readme_runs_as_printed_from_any_process(
    pair: tuple[Client, Client], tmp_path: Path
) -> None:
    owner, other = pair
    market_id, user = await owner.open_market(new_user()), new_user()
    await owner.grant(user)
    section = (ROOT / "README.md").read_text().split("### Bots over gRPC")[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    (tmp_path / "bot.py").write_text(found[1])
    for client in (owner, other):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(tmp_path / "bot.py"),
            client.address,
            owner.issuer.token(user),
            market_id,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaints = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, complaints.decode()
        order_id, _status = output.decode().split()
        open_orders = await owner.ask(
            "ListOpenOrders", order_pb2.ListOpenOrdersRequest(market_id=market_id), user
        )
        assert order_id in {order.order_id for order in open_orders.orders}
