"""Whoever may no longer trade has no open order soon, whatever was down at that time. With a real order_service."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from auth_service import order_cancellations
from engine.commands import TREASURY_ID
from launcher.embedded import NatsServer
from predmarket.auth.v1 import auth_pb2
from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from runtime.ports import free_port
from tests.auth_service.support import Auth, make_admin, run_auth
from tests.order_service.support import limit, settings_of, start_process
from tests.servers import Database

pytestmark = pytest.mark.asyncio(loop_scope="module")

OrderProcess = asyncio.subprocess.Process

PASSES_MADE = "SELECT passes_made FROM order_cancellations WHERE user_id = $1"
"""None: the user's orders are not to be cancelled, or no longer."""


@dataclass
class Exchange:
    """An auth_service here and an order_service as a process that can be killed and started again; `rows` is their
    database."""

    auth: Auth
    auth_stack: AsyncExitStack
    order_fields: dict[str, Any]
    address: str
    channel: Any
    rows: Any
    admin_token: str = ""
    process: OrderProcess | None = None

    async def start(self) -> None:
        """Unless it runs."""
        if self.process is None or self.process.returncode is not None:
            self.process = await start_process(self.order_fields)

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def person(self) -> auth_pb2.RegisterResponse:
        """Somebody new, with points."""
        registered = await self.auth.register(f"{uuid.uuid4().hex}@example.org")
        query = "SELECT granted_at IS NOT NULL FROM users WHERE user_id = $1"

        async def has_points() -> bool:
            return bool(await self.rows.fetchval(query, registered.user.user_id))

        await until(has_points)
        return registered

    async def ask(self, service: str, method: str, request: Any, token: str) -> Any:
        stub = getattr(order_pb2_grpc, f"{service}Stub")(self.channel)
        return await call(
            getattr(stub, method),
            request,
            deadline_seconds=30,
            authorization=f"Bearer {token}",
            wait_for_ready=True,
        )

    async def open_market(self) -> str:
        terms = order_pb2.MarketTerms(question="Will it?", liquidity_micros=600_000_000)
        request = order_pb2.CreateMarketRequest(terms=terms)
        created = await self.ask("MarketAdminService", "CreateMarket", request, self.admin_token)
        market_id: str = created.market.market_id
        activate = order_pb2.ActivateMarketRequest(market_id=market_id)
        await self.ask("MarketAdminService", "ActivateMarket", activate, self.admin_token)
        return market_id

    async def place(self, market_id: str, token: str) -> common_pb2.Order:
        answer = await self.ask("OrderService", "PlaceOrder", limit(market_id, 10, 5), token)
        order: common_pb2.Order = answer.order
        return order


async def open_orders(rows: Any, user_id: str) -> int:
    count: int = await rows.fetchval(
        "SELECT count(*) FROM orders WHERE user_id = $1 AND status IN ('OPEN', 'PARTIALLY_FILLED')", user_id
    )
    return count


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running(database: Database, nats_url: str, mail_folder: Path) -> AsyncIterator[Exchange]:
    """With an administrator."""
    order_port, auth_port = free_port(), free_port()
    async with AsyncExitStack() as stack, AsyncExitStack() as auth_stack:
        rows = await asyncpg.connect(database.superuser_url)
        stack.push_async_callback(rows.close)
        auth = await auth_stack.enter_async_context(
            run_auth(
                database.url_for("pm_auth"),
                f"127.0.0.1:{order_port}",
                grpc_port=auth_port,
                mail_folder=mail_folder,
                grant_wait_seconds=5.0,
            )
        )
        fields = settings_of(
            database.url_for("pm_order"),
            nats_url,
            auth.jwks_url,
            grpc_port=order_port,
            auth_grpc=auth.address,
        )
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{order_port}"))
        exchange = Exchange(auth, auth_stack, fields, f"127.0.0.1:{order_port}", channel, rows)
        await exchange.start()
        try:
            exchange.admin_token = (await make_admin(auth, rows)).tokens.access_token

            async def all_have_points() -> bool:  # the treasury, too
                return bool(await rows.fetchval("SELECT bool_and(granted_at IS NOT NULL) FROM users"))

            await until(all_have_points)
            yield exchange
        finally:
            if exchange.process is not None and exchange.process.returncode is None:
                await exchange.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_exchange(
    shared_database: Database, nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    async with running(shared_database, nats_server.url, tmp_path_factory.mktemp("mail")) as exchange:
        yield exchange


@pytest_asyncio.fixture(loop_scope="module")
async def exchange(shared_exchange: Exchange) -> Exchange:
    """The one of the whole file; users and markets are each test's own."""
    await shared_exchange.start()
    return shared_exchange


@pytest_asyncio.fixture(loop_scope="module")
async def rows(exchange: Exchange) -> Any:
    return exchange.rows


async def suspend(exchange: Exchange, user_id: str) -> None:
    request = auth_pb2.SuspendUserRequest(user_id=user_id, reason="spam")
    await exchange.auth.admin("SuspendUser", request, exchange.admin_token)


async def refusal_within(exchange: Exchange, market_id: str, credential: str, seconds: float) -> ErrorCode:
    """Places until it is refused."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await exchange.place(market_id, credential)
            except ApiError as error:
                return error.code
            await asyncio.sleep(0.05)


async def test_open_orders_in_all_markets_are_cancelled_and_none_can_follow(
    exchange: Exchange, rows: Any
) -> None:
    markets = [await exchange.open_market() for _ in range(3)]
    ada, eve = await exchange.person(), await exchange.person()
    key = await exchange.auth.api_key(ada.tokens.access_token)
    for market_id in markets:
        for token in (ada.tokens.access_token, key.secret, eve.tokens.access_token):
            await exchange.place(market_id, token)
    assert await open_orders(rows, ada.user.user_id) == 6
    began = time.monotonic()
    await suspend(exchange, ada.user.user_id)

    async def is_done() -> bool:
        return await open_orders(rows, ada.user.user_id) == 0

    await until(is_done)
    assert time.monotonic() - began < 50
    for credential in (ada.tokens.access_token, key.secret):
        refused = await refusal_within(exchange, markets[0], credential, 50)
        assert refused is ErrorCode.UNAUTHENTICATED
    assert await open_orders(rows, eve.user.user_id) == 3
    locked = await rows.fetchval("SELECT locked_micros FROM accounts WHERE user_id = $1", ada.user.user_id)
    assert locked == 0


async def test_orders_are_cancelled_also_when_order_service_was_down(exchange: Exchange, rows: Any) -> None:
    market_id = await exchange.open_market()
    ada = await exchange.person()
    for _ in range(3):
        await exchange.place(market_id, ada.tokens.access_token)
    await exchange.kill()
    await suspend(exchange, ada.user.user_id)
    await asyncio.sleep(2)
    assert await open_orders(rows, ada.user.user_id) == 3
    await exchange.start()

    async def is_done() -> bool:
        return await open_orders(rows, ada.user.user_id) == 0

    await until(is_done)
    assert await refusal_within(exchange, market_id, ada.tokens.access_token, 50) is ErrorCode.UNAUTHENTICATED


async def test_orders_are_cancelled_also_when_auth_service_ended_right_after_the_suspension(
    fresh_database: Database, nats_server: NatsServer, tmp_path: Path
) -> None:
    url = fresh_database.url_for("pm_auth")
    async with running(fresh_database, nats_server.url, tmp_path) as exchange:
        market_id = await exchange.open_market()
        ada = await exchange.person()
        await exchange.place(market_id, ada.tokens.access_token)
        await exchange.kill()
        await suspend(exchange, ada.user.user_id)
        await exchange.auth_stack.aclose()
        assert await open_orders(exchange.rows, ada.user.user_id) == 1

        async def is_done() -> bool:
            return await open_orders(exchange.rows, ada.user.user_id) == 0

        async with run_auth(url, exchange.address, mail_folder=tmp_path) as successor:
            exchange.order_fields |= {"jwks_url": successor.jwks_url, "auth_grpc": successor.address}
            await exchange.start()
            await until(is_done)


async def test_passes_follow_until_every_old_token_has_expired(
    exchange: Exchange, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_cancellations, "PASSES_AFTER_SECONDS", (0, 1, 2))
    ada = await exchange.person()
    await suspend(exchange, ada.user.user_id)
    seen: set[int] = set()

    async def is_over() -> bool:
        made = await rows.fetchval(PASSES_MADE, ada.user.user_id)
        seen.add(-1 if made is None else made)
        return made is None

    await until(is_over)
    assert {1, 2} & seen


async def test_whoever_is_restored_keeps_new_orders(exchange: Exchange, rows: Any) -> None:
    market_id = await exchange.open_market()
    ada = await exchange.person()
    await suspend(exchange, ada.user.user_id)

    async def first_pass_made() -> bool:
        return bool(await rows.fetchval(PASSES_MADE, ada.user.user_id))

    await until(first_pass_made)
    request = auth_pb2.RestoreUserRequest(user_id=ada.user.user_id, reason="a mistake")
    await exchange.auth.admin("RestoreUser", request, exchange.admin_token)
    token = (await exchange.auth.log_in(ada.user.email)).tokens.access_token
    await exchange.place(market_id, token)
    assert await rows.fetchval(PASSES_MADE, ada.user.user_id) is None
    await asyncio.sleep(2)
    assert await open_orders(rows, ada.user.user_id) == 1


async def test_whoever_becomes_an_analyst_loses_the_open_orders(exchange: Exchange, rows: Any) -> None:
    market_id = await exchange.open_market()
    ada = await exchange.person()
    await exchange.place(market_id, ada.tokens.access_token)
    request = auth_pb2.SetRoleRequest(user_id=ada.user.user_id, role=auth_pb2.ROLE_ANALYST, reason="reads")
    await exchange.auth.admin("SetRole", request, exchange.admin_token)

    async def is_done() -> bool:
        return await open_orders(rows, ada.user.user_id) == 0

    await until(is_done)


async def test_a_stream_that_is_open_takes_nothing_more_from_the_suspended(
    exchange: Exchange, rows: Any
) -> None:
    market_id = await exchange.open_market()
    ada = await exchange.person()
    answers: asyncio.Queue[Any] = asyncio.Queue()
    requests: asyncio.Queue[order_pb2.TradeRequest] = asyncio.Queue()

    async def sent() -> AsyncIterator[order_pb2.TradeRequest]:
        while True:
            yield await requests.get()

    stub = order_pb2_grpc.OrderServiceStub(exchange.channel)
    stream = stub.Trade(
        sent(), timeout=120, metadata=[("authorization", f"Bearer {ada.tokens.access_token}")]
    )

    async def read() -> None:
        async for answer in stream:
            await answers.put(answer.result)

    reading = asyncio.create_task(read())
    command = order_pb2.OrderCommand(place=limit(market_id, 10, 5))
    try:
        await requests.put(order_pb2.TradeRequest(request_id=1, command=command))
        first = await asyncio.wait_for(answers.get(), 30)
        assert first.order.order_id
        await suspend(exchange, ada.user.user_id)
        async with asyncio.timeout(50):
            while True:
                await requests.put(order_pb2.TradeRequest(request_id=2, command=command))
                if (await answers.get()).error.code == "UNAUTHENTICATED":
                    break
                await asyncio.sleep(0.1)
    finally:
        stream.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    async def is_done() -> bool:
        return await open_orders(rows, ada.user.user_id) == 0

    await until(is_done)


async def test_scopes_hold_at_order_service(exchange: Exchange, rows: Any) -> None:
    market_id = await exchange.open_market()
    ada = await exchange.person()
    read = (await exchange.auth.api_key(ada.tokens.access_token, auth_pb2.API_KEY_SCOPE_READ)).secret
    trade = (await exchange.auth.api_key(ada.tokens.access_token, auth_pb2.API_KEY_SCOPE_TRADE)).secret
    order = await exchange.place(market_id, trade)
    listing = order_pb2.ListOpenOrdersRequest(market_id=market_id)
    found = await exchange.ask("OrderService", "ListOpenOrders", listing, read)
    assert [each.order_id for each in found.orders] == [order.order_id]
    market = order_pb2.GetMarketRequest(market_id=market_id)
    for key in (read, trade):  # public
        await exchange.ask("OrderService", "GetMarket", market, key)
    writes: dict[str, Any] = {
        "PlaceOrder": limit(market_id, 10, 5),
        "AmendOrder": order_pb2.AmendOrderRequest(order_id=order.order_id, quantity_micros=1_000_000),
        "CancelOrder": order_pb2.CancelOrderRequest(order_id=order.order_id),
        "CancelAllOrders": order_pb2.CancelAllOrdersRequest(market_id=market_id),
        "MintSets": order_pb2.MintSetsRequest(market_id=market_id, quantity_micros=1_000_000),
        "MergeSets": order_pb2.MergeSetsRequest(market_id=market_id, quantity_micros=1_000_000),
    }
    for method, request in writes.items():
        with pytest.raises(ApiError) as refused:
            await exchange.ask("OrderService", method, request, read)
        assert refused.value.code is ErrorCode.FORBIDDEN, method
    with pytest.raises(ApiError) as refused:
        await exchange.ask("OrderService", "ListOpenOrders", listing, trade)
    assert refused.value.code is ErrorCode.FORBIDDEN
    commands = order_pb2.SubmitCommandsRequest(
        commands=[
            order_pb2.OrderCommand(place=limit(market_id, 10, 5), access_token=key) for key in (read, trade)
        ]
    )
    results = (
        await exchange.ask("OrderService", "SubmitCommands", commands, ada.tokens.access_token)
    ).results
    assert [result.error.code for result in results] == ["FORBIDDEN", ""]
    await exchange.ask("OrderService", "CancelAllOrders", writes["CancelAllOrders"], trade)


async def test_an_admins_api_key_runs_no_market_and_sees_no_draft(exchange: Exchange, rows: Any) -> None:
    key = (await exchange.auth.api_key(exchange.admin_token)).secret
    terms = order_pb2.MarketTerms(question="Will it?", liquidity_micros=600_000_000)
    create = order_pb2.CreateMarketRequest(terms=terms)
    draft = await exchange.ask("MarketAdminService", "CreateMarket", create, exchange.admin_token)
    grant = order_pb2.GrantPointsRequest(
        idempotency_key="k", user_id=TREASURY_ID, kind="PROMOTION", amount_micros=1, reason="x"
    )
    for service, method, request, code in (
        ("MarketAdminService", "CreateMarket", create, ErrorCode.FORBIDDEN),
        ("PointsService", "GrantPoints", grant, ErrorCode.FORBIDDEN),
        (
            "OrderService",
            "GetMarket",
            order_pb2.GetMarketRequest(market_id=draft.market.market_id),
            ErrorCode.MARKET_NOT_FOUND,
        ),
    ):
        with pytest.raises(ApiError) as refused:
            await exchange.ask(service, method, request, key)
        assert refused.value.code is code, method


async def test_only_a_service_cancels_orders_of_others(exchange: Exchange, rows: Any) -> None:
    ada = await exchange.person()
    request = order_pb2.CancelOrdersOfUserRequest(user_id=ada.user.user_id, minimum_version=9)
    for token in (ada.tokens.access_token, exchange.admin_token):
        with pytest.raises(ApiError) as refused:
            await exchange.ask("UserOrdersService", "CancelOrdersOfUser", request, token)
        assert refused.value.code is ErrorCode.FORBIDDEN
