"""The command line: `python -m launcher --help`. The make targets call it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast

import aiohttp
import psutil
import typer
from rich.console import Console
from rich.table import Table

from launcher.embedded.process import ServerError
from launcher.folder import Admin, DataFolder, FolderInUse, RunState
from launcher.follow import follow
from launcher.options import BadOption, RunOptions, parse_scale
from launcher.plan import DATABASE
from launcher.run import EmbeddedServers, StepFailed, create_admin, run
from launcher.supervisor import ROOT, is_ready
from predmarket_client import Client, Market, PredmarketError, micros
from predmarket_client.areas.admin import GrantKind
from runtime.ports import keep_to

STOP_SECONDS = 60.0
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Run and look after the engine on this machine."
)
console = Console()
Data = Annotated[Path, typer.Option("--data", help="The data folder of the run.")]


def main() -> None:
    """Messages for people instead of stack traces, for what people can mend."""
    try:
        app()
    except (BadOption, FolderInUse, StepFailed, ServerError, PredmarketError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command("run")
def run_command(
    port: Annotated[int, typer.Option(help="The gateway's port; WebSockets take the next free one.")] = 8080,
    data: Data = Path(".data"),
    scale: Annotated[str, typer.Option(help='Processes per service: "ws_service=2 order_service=2".')] = "",
    demo: Annotated[int, typer.Option(help="1: open demo markets when there are none. 0: do not.")] = 1,
    traders: Annotated[int, typer.Option(help="Simulated traders.")] = 0,
    kafka: Annotated[int, typer.Option(help="1: also a Kafka broker (needs Java and Maven).")] = 0,
    shards: Annotated[int, typer.Option(help="Shards of a new database. 0: the usual number.")] = 0,
) -> None:
    """Start everything and stay until Ctrl-C. FREE_PORTS=15000-19999 names the ports from which it may take."""
    if part := os.environ.get("FREE_PORTS"):
        try:
            keep_to(part)
        except ValueError as error:
            raise BadOption(f"FREE_PORTS: {error}") from error
    options = RunOptions(
        port=port,
        data=data,
        scale=parse_scale(scale),
        demo=bool(demo),
        traders=traders,
        kafka=bool(kafka),
        shards=shards,
        admin_email=os.environ.get("ADMIN_EMAIL") or None,
        admin_password=os.environ.get("ADMIN_PASSWORD") or None,
    )
    sys.exit(run(options, console))


@app.command()
def status(data: Data = Path(".data")) -> None:
    """Show what runs, and whether it is ready."""
    state = running_state(DataFolder(data))
    table = Table("process", "pid", "ready")
    for instance, pid, ready in asyncio.run(_readiness(state)):
        table.add_row(instance, str(pid), {True: "yes", False: "[red]no[/]", None: "-"}[ready])
    console.print(f"REST {state.url}/v1, WebSocket {state.ws_url}", highlight=False)
    console.print(table)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="One process; all when empty.")] = "",
    data: Data = Path(".data"),
) -> None:
    """Follow the logs until Ctrl-C."""
    follow(DataFolder(data).logs, service)


@app.command()
def stop(data: Data = Path(".data")) -> None:
    """Stop a run, as Ctrl-C would."""
    folder = DataFolder(data)
    if not folder.is_held():
        console.print("Nothing runs.")
        return
    state = running_state(folder)
    os.kill(state.launcher_pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while folder.is_held():
        if time.monotonic() > deadline:
            raise BadOption(f"process {state.launcher_pid} did not stop within {STOP_SECONDS:.0f} s")
        time.sleep(0.1)
    console.print("Stopped.")


@app.command()
def reset(data: Data = Path(".data")) -> None:
    """Stop, then delete the data folder: accounts, markets, everything."""
    stop(data)
    folder = DataFolder(data)
    if not (folder.path / "secrets.json").exists():
        console.print(f"There is no data in {folder.path}.")
        return
    EmbeddedServers(folder).postgres.delete()
    shutil.rmtree(folder.path)
    console.print(f"Deleted {folder.path}.")


@app.command(context_settings=PASS_ON)
def verify(context: typer.Context, data: Data = Path(".data")) -> None:
    """Recompute every balance, share, fee and k from the ledger and the events. Exit code 1 on any break."""
    _database_command("verify", context.args, DataFolder(data))


@app.command(context_settings=PASS_ON)
def replay(context: typer.Context, data: Data = Path(".data")) -> None:
    """Replay the event log to a state hash."""
    _database_command("replay", context.args, DataFolder(data))


@app.command()
def topics(data: Data = Path(".data")) -> None:
    """Make the topics of the running engine, or give them the settings of the environment."""
    _bus_command(["topics"], DataFolder(data))


@app.command(context_settings=PASS_ON)
def seek(context: typer.Context, data: Data = Path(".data")) -> None:
    """Where the group of a topic goes on: `seek price-updates --to start`."""
    _bus_command(["seek", *context.args], DataFolder(data))


@app.command("rebuild-buses")
def rebuild_buses(data: Data = Path(".data")) -> None:
    """Wipe both buses of the running engine and publish everything again from PostgreSQL."""
    _bus_command(["rebuild-buses"], DataFolder(data))


@app.command(context_settings=PASS_ON)
def analytics(context: typer.Context, data: Data = Path(".data")) -> None:
    """`analytics reconcile`, `backfill`, `rebuild` or `migrate`, on this folder's ClickHouse (or CLICKHOUSE_URL)."""
    folder = DataFolder(data)
    ops_url = _ops_url(running_state(folder), "analytics-1") if folder.is_held() else ""
    with database(folder) as servers:
        environment = {
            "CLICKHOUSE_FOLDER": str(folder.clickhouse),
            **os.environ,
            "DATABASE_URL": servers.database_url("pm_analytics"),
            "ANALYTICS_OPS_URL": ops_url,
        }
        done = subprocess.run([sys.executable, "-m", "analytics", *context.args], cwd=ROOT, env=environment)
    sys.exit(done.returncode)


@app.command()
def markets(data: Data = Path(".data")) -> None:
    """List the markets of the running engine."""
    table = Table("market_id", "status", "probability", "question")
    for market in asyncio.run(_markets(running_state(DataFolder(data)))):
        probability = market.probability_micros
        percent = f"{probability // 10_000}.{probability % 10_000 // 100:02d} %"
        table.add_row(market.market_id, market.status, percent, market.question)
    console.print(table)


@app.command()
def grant(
    user_id: str,
    points: Annotated[int, typer.Argument(min=1)],
    reason: Annotated[str, typer.Option(help="Kept in the audit log.")],
    kind: Annotated[str, typer.Option(help="PROMOTION, REWARD or CORRECTION.")] = "PROMOTION",
    data: Data = Path(".data"),
) -> None:
    """Give a user points, as the administrator of this run."""
    folder = DataFolder(data)
    asyncio.run(_grant(folder, user_id, points, cast(GrantKind, kind), reason))
    console.print(f"Granted {points} Points to {user_id}.", highlight=False)


@app.command("create-admin")
def create_admin_command(email: str, data: Data = Path(".data")) -> None:
    """Make another administrator. The password is asked for, or read from ADMIN_PASSWORD."""
    password = os.environ.get("ADMIN_PASSWORD") or typer.prompt("Password", hide_input=True)
    with database(DataFolder(data)) as servers:
        create_admin(servers.database_url("pm_auth"), Admin(email, password))
    console.print(f"{email} is an administrator now.", highlight=False)


@contextmanager
def database(folder: DataFolder) -> Iterator[EmbeddedServers]:
    """The folder's PostgreSQL: the running one, else started for as long as this takes."""
    if not (folder.path / "secrets.json").exists():
        raise BadOption(f"there is no data in {folder.path}")
    servers = EmbeddedServers(folder)
    if folder.is_held():
        servers.postgres.port = running_state(folder).postgres_port
        yield servers
        return
    folder.lock()
    servers.postgres.start()
    try:
        yield servers
    finally:
        servers.postgres.stop()
        folder.unlock()


def running_state(folder: DataFolder) -> RunState:
    """What runs. Raises BadOption when nothing does."""
    state = folder.state() if folder.is_held() else None
    if state is None or not psutil.pid_exists(state.launcher_pid):
        raise BadOption(f"nothing runs on {folder.path}; start it with `make run`")
    return state


def _database_command(command: str, arguments: list[str], folder: DataFolder) -> None:
    with database(folder) as servers:
        environment = {**os.environ, "DATABASE_URL": servers.postgres.url_for(DATABASE, "pm_db")}
        done = subprocess.run(
            [sys.executable, "-m", "db_service", command, *arguments], cwd=ROOT, env=environment
        )
    sys.exit(done.returncode)


def _bus_command(arguments: list[str], folder: DataFolder) -> None:
    """A command of order_service on the buses of the running engine."""
    state = running_state(folder)
    servers = EmbeddedServers(folder)
    servers.postgres.port, servers.nats.port = state.postgres_port, state.nats_port
    environment = {
        **os.environ,
        "DATABASE_URL": servers.database_url("pm_order"),
        "NATS_URL": servers.nats.url,
    }
    if state.kafka_bootstrap:
        environment["KAFKA_BOOTSTRAP"] = state.kafka_bootstrap
    done = subprocess.run([sys.executable, "-m", "order_service", *arguments], cwd=ROOT, env=environment)
    sys.exit(done.returncode)


def _ops_url(state: RunState, instance: str) -> str:
    port = next((service.ops_port for service in state.services if service.instance == instance), 0)
    return f"http://127.0.0.1:{port}" if port else ""


async def _readiness(state: RunState) -> list[tuple[str, int, bool | None]]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
        return [
            (
                service.instance,
                service.pid,
                await is_ready(session, service.ops_port) if service.ops_port else None,
            )
            for service in state.services
        ]


async def _markets(state: RunState) -> list[Market]:
    async with Client(state.url) as client:
        return await client.markets.list().all()


async def _grant(folder: DataFolder, user_id: str, points: int, kind: GrantKind, reason: str) -> None:
    state, admin = running_state(folder), folder.admin()
    if admin is None:
        raise BadOption("this run has no administrator yet")
    async with Client(state.url, email=admin.email, password=admin.password) as client:
        await client.admin.grant(user_id, micros(points), kind=kind, reason=reason)
