"""`make run`: servers, schema, administrator, services, demo markets, and a first thing to try. Ends on Ctrl-C."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from rich.console import Console

from launcher.demo import open_demo_markets
from launcher.embedded import KafkaServer, NatsServer, PostgresServer, RedisServer
from launcher.embedded.kafka import why_not
from launcher.embedded.process import EmbeddedServer
from launcher.folder import Admin, DataFolder, RunState
from launcher.options import ADMIN_EMAIL, BadOption, RunOptions
from launcher.plan import DATABASE, Plan, Servers, Service, make_plan
from launcher.supervisor import ROOT, StartFailed, Supervisor
from launcher.welcome import print_welcome
from runtime.ports import free_port, is_free

STEP_TIMEOUT_SECONDS = 120.0
PORTS_TRIED = 50


class StepFailed(Exception):
    """A step before the services failed; the message is for people."""


class EmbeddedServers:
    """PostgreSQL, NATS and Redis below one data folder; Kafka where it is wanted."""

    def __init__(self, folder: DataFolder, *, kafka: bool = False) -> None:
        kept = folder.secrets()
        self._logs = folder.logs.resolve()
        self._clickhouse = folder.clickhouse
        self.postgres = PostgresServer(
            folder.path / "postgres", secret=kept.postgres, log_path=folder.log_file("postgres")
        )
        self.nats = NatsServer(folder.path / "nats", password=kept.nats, log_path=folder.log_file("nats"))
        self.redis = RedisServer(
            folder.path / "redis", password=kept.redis, log_path=folder.log_file("redis")
        )
        self.kafka = KafkaServer(folder.path / "kafka", log_path=folder.log_file("kafka")) if kafka else None

    def all(self) -> Sequence[EmbeddedServer]:
        wanted = (self.postgres, self.nats, self.redis, self.kafka)
        return [server for server in wanted if server is not None]

    def start(self) -> None:
        for server in self.all():
            server.start()

    def stop(self) -> None:
        for server in reversed(self.all()):
            server.stop()

    def addresses(self) -> Servers:
        return Servers(
            database_url=self.database_url,
            nats_url=self.nats.url,
            redis_url=self.redis.url,
            kafka_bootstrap=self.kafka.bootstrap if self.kafka else "",
            mail_folder=str(self._logs / "mail"),
            gateway_secret=secrets.token_hex(32),
            clickhouse_folder=str(self._clickhouse),
        )

    def database_url(self, role: str) -> str:
        return self.postgres.url_for(DATABASE, role)


def run(options: RunOptions, console: Console) -> int:
    """The exit code. Raises BadOption, FolderInUse, StepFailed, ServerError with messages for people."""
    if not is_free(options.port):
        raise BadOption(f"port {options.port} is in use or not allowed; choose another with PORT=number")
    missing = why_not() if options.kafka else None
    if missing is not None:
        raise BadOption(f"KAFKA=1: {missing}")
    folder = DataFolder(options.data)
    folder.prepare()
    folder.lock()
    options = replace(options, shards=folder.shards(options.shards))
    # From here on a SIGTERM or a closed terminal ends everything in order, as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    servers = EmbeddedServers(folder, kafka=options.kafka)
    try:
        with console.status(f"Starting {', '.join(server.name for server in servers.all())} ..."):
            servers.start()
        with console.status("Bringing the database up to date ..."):
            make_database(servers.postgres, options)
            admin, fresh_password = make_admin(folder, servers, options)
        return asyncio.run(_run_services(options, folder, servers, admin, fresh_password, console))
    except KeyboardInterrupt:
        return 0
    finally:
        servers.stop()
        folder.forget_state()
        folder.unlock()


def make_database(postgres: PostgresServer, options: RunOptions) -> None:
    """The database, and all migrations."""
    asyncio.run(_make_database(postgres))
    environment = {"DATABASE_URL": postgres.url_for(DATABASE), "SHARD_COUNT": str(options.shards)}
    step("db_service", ["migrate"], environment, "the migrations")


async def _make_database(postgres: PostgresServer) -> None:
    if not await postgres.database_exists(DATABASE):
        await postgres.create_database(DATABASE)


def make_admin(folder: DataFolder, servers: EmbeddedServers, options: RunOptions) -> tuple[Admin, bool]:
    """The administrator, and whether the password was generated just now (and must be shown).

    One that this folder knows is left as it is, its password too.
    """
    known = folder.admin()
    if known is not None and options.admin_email in (None, known.email):
        return known, False
    admin = Admin(options.admin_email or ADMIN_EMAIL, options.admin_password or secrets.token_urlsafe(15))
    create_admin(servers.database_url("pm_auth"), admin)
    folder.keep_admin(admin)
    return admin, options.admin_password is None


def create_admin(database_url: str, admin: Admin) -> None:
    """An account with role admin; one that exists is left as it is."""
    environment = {"DATABASE_URL": database_url, "ADMIN_EMAIL": admin.email, "ADMIN_PASSWORD": admin.password}
    step("auth_service", ["create-admin"], environment, "creating the administrator")


def step(module: str, arguments: Sequence[str], environment: Mapping[str, str], what: str) -> str:
    """Run a command of a service to its end; its output. Raises StepFailed with it."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        raise StepFailed(f"{what} failed:\n{(done.stdout + done.stderr).strip()}")
    return done.stdout


async def _run_services(
    options: RunOptions,
    folder: DataFolder,
    servers: EmbeddedServers,
    admin: Admin,
    fresh_password: bool,
    console: Console,
) -> int:
    plan = make_plan(options, servers.addresses(), free_port, ws_ports(options))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)

    supervisor = Supervisor(
        folder=folder,
        report=lambda words: console.print(words, style="yellow", markup=False, highlight=False),
        on_change=lambda: folder.keep_state(state_of(plan, servers, supervisor)),
        servers=servers.all(),
    )
    for service in plan.services:
        supervisor.start(service)
    watching = asyncio.create_task(supervisor.watch(), name="watch")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    becoming_ready = asyncio.create_task(
        _become_ready(options, plan, supervisor, admin, fresh_password, console), name="ready"
    )
    try:
        await asyncio.wait((stopping, watching, becoming_ready), return_when=asyncio.FIRST_COMPLETED)
        if becoming_ready.done():
            becoming_ready.result()
            await asyncio.wait((stopping, watching), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        return 0
    except StartFailed as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    finally:
        for task in (watching, stopping, becoming_ready):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
        with console.status("Stopping ..."):
            await supervisor.stop()


async def _become_ready(
    options: RunOptions,
    plan: Plan,
    supervisor: Supervisor,
    admin: Admin,
    fresh_password: bool,
    console: Console,
) -> None:
    with console.status("Starting the services ..."):
        await supervisor.wait_ready()
        opened = await open_demo_markets(plan.url, admin) if options.demo else []
    if options.traders:
        supervisor.start(traders(plan, options))
    print_welcome(console, options, plan, admin, fresh_password=fresh_password, opened=opened)


def traders(plan: Plan, options: RunOptions) -> Service:
    """The simulated traders as one more supervised process."""
    arguments = ("--url", plan.url, "--count", str(options.traders))
    return Service("traders", "launcher.traders", 0, {}, arguments)


def ws_ports(options: RunOptions) -> list[int]:
    """The free ports after the gateway's, one per ws_service process."""
    free = [
        port for port in range(options.port + 1, min(options.port + PORTS_TRIED, 65_536)) if is_free(port)
    ]
    wanted = options.instances("ws_service")
    if len(free) < wanted:
        raise BadOption(f"no free port for WebSockets after {options.port}; choose another with PORT=number")
    return free[:wanted]


def state_of(plan: Plan, servers: EmbeddedServers, supervisor: Supervisor) -> RunState:
    """What the other commands need to know."""
    return RunState(
        launcher_pid=os.getpid(),
        url=plan.url,
        ws_url=plan.ws_url,
        postgres_port=servers.postgres.port,
        nats_port=servers.nats.port,
        redis_port=servers.redis.port,
        kafka_bootstrap=servers.kafka.bootstrap if servers.kafka else "",
        services=supervisor.running(),
    )
