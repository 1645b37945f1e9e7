"""API keys at db_service, checked with a real auth_service: READ reads one's own, nothing administers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db_service.process import serve
from db_service.settings import DbSettings
from predmarket.auth.v1 import auth_pb2
from predmarket.db.v1 import db_pb2, db_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import call, open_channel
from runtime.lifecycle import Process
from runtime.ops_http import OpsServer
from runtime.ports import free_port
from tests.auth_service.support import Auth, Points, run_auth, serve_points
from tests.servers import Database


@pytest.fixture
async def auth(fresh_database: Database, tmp_path: Path) -> AsyncIterator[Auth]:
    async with (
        serve_points(Points()) as points,
        run_auth(fresh_database.url_for("pm_auth"), points.address, mail_folder=tmp_path) as auth,
    ):
        yield auth


@pytest.fixture
async def stub(fresh_database: Database, auth: Auth) -> AsyncIterator[db_pb2_grpc.DbServiceStub]:
    settings = DbSettings(
        database_url=fresh_database.url_for("pm_db"),
        jwks_url=auth.jwks_url,
        auth_grpc=auth.address,
        grpc_port=free_port(),
    )
    async with AsyncExitStack() as outer:
        ops = OpsServer(host="127.0.0.1", port=0)
        await ops.start()
        outer.push_async_callback(ops.stop)
        stack = await outer.enter_async_context(AsyncExitStack())
        await serve(Process("db_service", settings, stack, ops), settings)
        channel = await outer.enter_async_context(open_channel(f"127.0.0.1:{settings.grpc_port}"))
        yield db_pb2_grpc.DbServiceStub(channel)


async def code_of(method: Any, request: Any, credential: str) -> ErrorCode | None:
    try:
        await call(method, request, authorization=f"Bearer {credential}")
    except ApiError as error:
        return error.code
    return None


async def test_a_key_that_may_read_reads_and_one_that_may_only_trade_does_not(
    auth: Auth, stub: db_pb2_grpc.DbServiceStub
) -> None:
    token = (await auth.register()).tokens.access_token
    read = (await auth.api_key(token, auth_pb2.API_KEY_SCOPE_READ)).secret
    trade = (await auth.api_key(token, auth_pb2.API_KEY_SCOPE_TRADE)).secret
    for method, request in (
        (stub.GetPortfolio, db_pb2.GetPortfolioRequest()),
        (stub.ListOrders, db_pb2.ListOrdersRequest()),
        (stub.ListFills, db_pb2.ListFillsRequest()),
        (stub.ListLedger, db_pb2.ListLedgerRequest()),
    ):
        assert await code_of(method, request, read) is None
        assert await code_of(method, request, trade) is ErrorCode.FORBIDDEN
    assert await code_of(stub.ListMarkets, db_pb2.ListMarketsRequest(), trade) is None  # public


async def test_an_admins_key_reads_no_audit_log(
    auth: Auth, stub: db_pb2_grpc.DbServiceStub, fresh_database: Any
) -> None:
    await auth.register()
    rows = await asyncpg.connect(fresh_database.superuser_url)
    await rows.execute("UPDATE users SET role = 'admin' WHERE email IS NOT NULL")
    await rows.close()
    token = (await auth.log_in("ada@example.org")).tokens.access_token
    key = (await auth.api_key(token)).secret
    assert await code_of(stub.ListAudit, db_pb2.ListAuditRequest(), token) is None
    assert await code_of(stub.ListAudit, db_pb2.ListAuditRequest(), key) is ErrorCode.FORBIDDEN


async def test_a_revoked_key_and_an_ended_session_read_nothing_within_seconds(
    auth: Auth, stub: db_pb2_grpc.DbServiceStub
) -> None:
    tokens = (await auth.register()).tokens
    made = await auth.api_key(tokens.access_token)
    for credential in (tokens.access_token, made.secret):
        assert await code_of(stub.GetPortfolio, db_pb2.GetPortfolioRequest(), credential) is None
    revoke = auth_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id)
    await auth.ask("RevokeApiKey", revoke, token=tokens.access_token)
    await auth.ask("LogOut", auth_pb2.LogOutRequest(), token=tokens.access_token)

    async with asyncio.timeout(50):
        for credential in (tokens.access_token, made.secret):
            while await code_of(stub.GetPortfolio, db_pb2.GetPortfolioRequest(), credential) is None:
                await asyncio.sleep(0.05)
            refused = await code_of(stub.GetPortfolio, db_pb2.GetPortfolioRequest(), credential)
            assert refused is ErrorCode.UNAUTHENTICATED
