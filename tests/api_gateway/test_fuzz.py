"""Schemathesis over the documents, with real ids, as user, administrator and API key. `make fuzz` sends many more."""

import asyncio
import os
from pathlib import Path

import pytest

from api_gateway.openapi import document
from launcher.embedded import NatsServer, RedisServer
from tests.api_gateway.contract import described
from tests.api_gateway.fuzz import Fuzzer
from tests.api_gateway.support import UNLIMITED, Suite, User, run_suite
from tests.api_gateway.world import World
from tests.servers import Database

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
START_SECONDS = 60
# Who is without a secret of the moment (a mailed token, a session to end, a password that was changed) gets no 2xx.
SECRETS = ("POST /v1/auth/logout", "POST /v1/auth/password/change", "POST /v1/auth/password/reset")


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # the services, in the same process, may
async def test_no_request_the_documents_allow_gets_an_answer_they_do_not_name(
    fresh_database: Database, private_nats: NatsServer, private_folder: Path, redis_server: RedisServer
) -> None:
    settings = {"redis_url": redis_server.url, "rate_tiers": {}, **UNLIMITED}
    async with run_suite(
        fresh_database,
        private_nats.url,
        auth_settings={"access_token_seconds": 3_600},  # a long run outlives the usual fifteen minutes
        all_settings=settings,
        analytics=private_folder,
    ) as suite:
        await _until_figures_are_there(suite)
        await _fuzz(suite, await suite.admin())


async def _until_figures_are_there(suite: Suite) -> None:
    """analytics takes longest to start."""
    async with asyncio.timeout(START_SECONDS):
        while (await suite.nobody().ask("GET", "/v1/calibration")).status != 200:
            await asyncio.sleep(0.1)


async def _fuzz(suite: Suite, admin: User) -> None:
    world = await World.of(suite, admin)
    fuzzer = Fuzzer(world, document(described()), examples=EXAMPLES, seed=SEED)
    report = await asyncio.to_thread(fuzzer.run)
    print("", *report.lines(), sep="\n")
    print(f"{report.requests} requests, {len(report.failures)} failures, seed {SEED}")
    assert report.failures == []
    assert report.requests >= EXAMPLES * len(described())
    assert {name for name in report.answers if report.done(name) == 0} <= set(SECRETS)
