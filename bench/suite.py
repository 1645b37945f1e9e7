"""All processes of `make run` on embedded servers, with funded users and one market, for the bench to load.

A second gateway stands beside the first and sends each order alone (`GATHER=0`): its rival of the same run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console

from bench import servers
from bench.report import BenchError
from engine.units import MICROS
from launcher.embedded.process import EmbeddedServer
from launcher.folder import Admin, DataFolder
from launcher.options import RunOptions
from launcher.plan import DATABASE, Service, make_plan
from launcher.run import EmbeddedServers, make_admin, make_database
from launcher.supervisor import Supervisor
from predmarket_client import Client, micros
from runtime.ports import free_port

USERS = 64
USER_POINTS = 1_000_000
LIQUIDITY_POINTS = 100_000
ALONE = "api_gateway-alone"
PER_MINUTE = 10**9
# Unlike `make run`: users rich enough for every order of the bench, and limits that are counted but never reached.
SETTINGS = {
    "SIGNUP_GRANT_MICROS": str(USER_POINTS * MICROS),
    "RATE_PUBLIC_PER_MINUTE": str(PER_MINUTE),  # all users register from one address
    "RATE_TIERS": json.dumps({"standard": {"public": PER_MINUTE, "trades": PER_MINUTE}}),
}


@dataclass(slots=True)
class Suite:
    """Where everything is. `authorizations`: one header per user, with an API key."""

    supervisor: Supervisor
    embedded: tuple[EmbeddedServer, ...]
    port: int
    alone_port: int
    sockets_port: int
    database_url: str
    """The superuser's."""
    market_id: str = ""
    authorizations: list[str] = field(default_factory=list)

    def mebibytes(self) -> dict[str, float]:
        """Resident memory of every process. PostgreSQL's is many processes that share pages, each counted once."""
        found = {server.name: _own_mebibytes(server.pid) for server in self.embedded}
        for child in self.supervisor.children:
            assert child.process is not None
            if child.service.instance != ALONE:
                found[child.service.module] = _own_mebibytes(child.process.pid)
        return found

    async def found(self, admin: Admin) -> None:
        """Users with points, and an ACTIVE market at one half."""
        url = f"http://127.0.0.1:{self.port}"
        async with Client(url) as nobody:
            for _ in range(USERS):
                email, password = f"bench-{secrets.token_hex(8)}@example.com", secrets.token_urlsafe(18)
                session = await nobody.accounts.register(email, password, "bench")
                async with Client(url, token=session.access_token) as user:
                    key = await user.api_keys.create("bench")
                self.authorizations.append(f"Bearer {key.api_key}")
        async with Client(url, email=admin.email, password=admin.password) as client:
            created = await client.admin.create_market("Hot?", liquidity_micros=micros(LIQUIDITY_POINTS))
            await client.admin.activate(created.market_id)
            self.market_id = created.market_id


@contextmanager
def running() -> Iterator[Suite]:
    """Everything started, founded, and stopped afterwards."""
    with ExitStack() as stack:
        folder = DataFolder(stack.enter_context(servers.folder()) / "data")
        folder.prepare()
        folder.path.chmod(0o755)
        embedded = EmbeddedServers(folder)
        stack.callback(embedded.postgres.delete)
        stack.callback(embedded.stop)
        embedded.start()
        options = _options(folder.path)
        make_database(embedded.postgres, options)
        admin, _ = make_admin(folder, embedded, options)
        supervisor = Supervisor(folder=folder, report=Console().print, on_change=_nothing)
        stack.callback(lambda: asyncio.run(supervisor.stop()))
        alone_port, sockets_port = free_port(), free_port()
        for service in _services(options, embedded, alone_port, sockets_port):
            supervisor.start(service)
        suite = Suite(
            supervisor,
            tuple(embedded.all()),
            options.port,
            alone_port,
            sockets_port,
            embedded.postgres.url_for(DATABASE, "postgres"),
        )
        asyncio.run(supervisor.wait_ready())
        asyncio.run(suite.found(admin))
        yield suite


def _options(data: Path) -> RunOptions:
    return RunOptions(
        port=free_port(),
        data=data,
        scale={},
        demo=False,
        traders=0,
        kafka=False,
        shards=servers.SHARDS,
        admin_email=None,
        admin_password=None,
    )


def _services(
    options: RunOptions, embedded: EmbeddedServers, alone_port: int, sockets_port: int
) -> Iterator[Service]:
    plan = make_plan(options, embedded.addresses(), free_port, [sockets_port])
    for service in plan.services:
        environment = {**service.environment, **SETTINGS}
        yield dataclasses.replace(service, environment=environment)
        if service.module == "api_gateway":
            ops_port = free_port()
            own = {"INSTANCE": ALONE, "HTTP_PORT": str(alone_port), "OPS_PORT": str(ops_port), "GATHER": "0"}
            yield dataclasses.replace(
                service, instance=ALONE, ops_port=ops_port, environment={**environment, **own}
            )


def _own_mebibytes(pid: int) -> float:
    process = psutil.Process(pid)
    children = process.children(recursive=True)
    try:
        if not children:
            resident: int = process.memory_info().rss
            return resident / 2**20
        shares = (each.memory_full_info().pss for each in (process, *children))
        return float(sum(shares)) / 2**20
    except psutil.Error as error:
        raise BenchError(f"the memory of process {pid} cannot be read: {error}") from error


def _nothing() -> None:
    """`make status` is not asked here."""
