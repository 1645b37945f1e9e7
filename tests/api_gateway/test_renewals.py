"""Renewals of sessions while what they need is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from api_gateway.renewals import Renewals
from launcher.embedded import RedisServer
from predmarket.auth.v1 import auth_pb2_grpc
from runtime.errors import ApiError, ErrorCode
from runtime.grpc_client import open_channel
from runtime.ports import free_port


@asynccontextmanager
async def gateways_without_auth(redis: RedisServer, count: int) -> AsyncIterator[list[Renewals]]:
    """As of so many gateway processes; nobody listens where auth_service should be."""
    async with (
        open_channel(f"127.0.0.1:{free_port()}") as channel,
        Redis.from_url(redis.url) as connection,
    ):
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        yield [Renewals(connection, stub) for _ in range(count)]


async def test_while_auth_service_is_away_every_request_is_told_so_at_once(redis_server: RedisServer) -> None:
    async with gateways_without_auth(redis_server, 2) as gateways:
        for gateway in gateways * 2:
            began = time.monotonic()
            with pytest.raises(ApiError) as refused:
                await gateway.renew("pmr_of_somebody")
            assert refused.value.code is ErrorCode.UNAVAILABLE
            assert time.monotonic() - began < 4


async def test_requests_that_wait_for_another_gateway_are_told_too(redis_server: RedisServer) -> None:
    async with gateways_without_auth(redis_server, 4) as gateways:
        asked = (gateway.renew("pmr_of_another") for gateway in gateways * 3)
        async with asyncio.timeout(6):
            answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(answer.code) for answer in answers if isinstance(answer, ApiError)] == ["UNAVAILABLE"] * 12
