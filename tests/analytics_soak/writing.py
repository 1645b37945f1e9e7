"""order_service's own batch path and its feed of the topics, in this process: all of it but gRPC and the live feed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from engine import commands as c
from engine.refusals import Refusal
from engine.state import MarketState
from engine.units import MICROS
from order_service.bus import Bus
from order_service.lease import Leases, Me
from order_service.requests import Done, Request, hash_of_request
from order_service.routing import Router
from order_service.settings import OrderSettings
from order_service.shard import Shard
from order_service.topic_feed import TopicFeed
from order_service.topic_sinks import make_sink
from runtime.clock import SystemClock
from runtime.errors import ApiError
from runtime.postgres import open_pool
from tests.servers import Database

INSTANCE: Final = "order_service-1"
ADMIN: Final = "00000000-0000-4000-8000-0000000000ad"
TREASURY_POINTS: Final = 100_000_000
TOPIC_MAX_BYTES: Final = 1_900 << 20
"""NATS wants room for twice as much, when the stream is there already and is given its settings again."""
RETRY_SECONDS: Final = 0.1
LEASE_SECONDS: Final = 60.0
SHARDS: Final = "0,1,2,3"
"""Those that a new database has."""


@dataclass(frozen=True, slots=True)
class Writing:
    """The shards of a database, all owned here."""

    router: Router

    async def until_owned(self, shard_id: int) -> Shard:
        """At once, but for the moments after it was lost and is taken anew."""
        while shard_id not in self.router.owned:
            await asyncio.sleep(RETRY_SECONDS)
        return self.router.owned[shard_id]

    def market(self, shard_id: int, market_id: str) -> MarketState:
        """As it stands between two batches."""
        return self.router.owned[shard_id].state.markets[market_id]

    async def do(self, shard_id: int, commands: Sequence[c.AnyCommand]) -> list[Done | Refusal]:
        """Put into the inbox together, so a batch or a few; the answers, once they are durable."""
        return list(await asyncio.gather(*(self._answer(shard_id, command) for command in commands)))

    async def must(self, shard_id: int, *commands: c.AnyCommand) -> None:
        """As `do`; a refusal is a defect."""
        for answer in await self.do(shard_id, commands):
            assert isinstance(answer, Done), answer

    async def _answer(self, shard_id: int, command: c.AnyCommand) -> Done | Refusal:
        """As a client that wants to know: when nobody knows what became of it, once more with the same key."""
        key = str(uuid.uuid4())
        while True:
            try:
                shard = await self.until_owned(shard_id)
                answer = await shard.submit(_request(command, key))
            except ApiError as error:
                if not error.code.retryable:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                assert isinstance(answer, Done | Refusal), answer
                return answer

    async def grant(self, user_id: str, points: int) -> None:
        await self.must(
            0,
            c.GrantPoints(
                market_id=c.system_stream_id(0),
                actor_id=c.SYSTEM_ID,
                user_id=user_id,
                grant="GENESIS" if user_id == c.TREASURY_ID else "SIGNUP",
                amount_micros=points * MICROS,
            ),
        )

    async def open_market(self, shard_id: int, question: str, liquidity_points: int) -> str:
        market_id = str(uuid.uuid4())
        terms = c.MarketTerms(question=question, category="soak", liquidity_micros=liquidity_points * MICROS)
        await self.must(
            shard_id,
            c.CreateMarket(market_id=market_id, actor_id=ADMIN, terms=terms),
            c.ActivateMarket(market_id=market_id, actor_id=ADMIN),
        )
        return market_id


@asynccontextmanager
async def writing(database: Database, nats_url: str) -> AsyncIterator[Writing]:
    """With a funded treasury. Afterwards the leases are given back; what is not on the bus yet stays in PostgreSQL."""
    url = database.url_for("pm_order")
    settings = OrderSettings(
        database_url=url,
        nats_url=nats_url,
        instance=INSTANCE,
        order_shards=SHARDS,
        lease_seconds=LEASE_SECONDS,
        topic_max_bytes=TOPIC_MAX_BYTES,
    )
    async with open_pool(url, name=INSTANCE) as pool:
        bus = Bus(nats_url, INSTANCE)
        router = Router(pool, SystemClock())
        leases = Leases(
            pool=pool,
            settings=settings,
            router=router,
            clock=router.clock,
            me=Me(INSTANCE, ""),
            make_followers=lambda shard_id: {
                "topics": TopicFeed(pool=pool, shard_id=shard_id, sink=make_sink(settings, bus, INSTANCE))
            },
        )
        try:
            await leases.start()
            made = Writing(router)
            await made.grant(c.TREASURY_ID, TREASURY_POINTS)
            yield made
        finally:
            await leases.stop()
            await bus.close()


def _request(command: c.AnyCommand, key: str) -> Request:
    return Request(
        asyncio.get_running_loop().create_future(),
        command,
        keys=(key,),
        request_hash=hash_of_request(command),
        key_owner=command.actor_id,
    )
