"""What `make run` prints when everything is ready: what is where, and a first thing to try."""

import os
from collections.abc import Sequence

from rich.console import Console

from launcher.folder import Admin, DataFolder
from launcher.options import RunOptions
from launcher.plan import Plan

FIRST_THING = """\
curl -s {url}/v1/auth/register -H 'Content-Type: application/json' -H "Idempotency-Key: $RANDOM$RANDOM" \\
  -d '{{"email": "ann@example.com", "password": "a-long-passphrase", "display_name": "Ann"}}'
curl -s {url}/v1/markets"""
SQL_HERE = """\
{url}  (ClickHouse's HTTP; the password is a token or API key of an admin, or of an analyst: docs/analytics.md)"""
SQL_OF_A_SERVER = "that of CLICKHOUSE_URL; `python -m analytics.analysts add NAME` makes an analyst there"


def print_welcome(
    console: Console,
    options: RunOptions,
    plan: Plan,
    admin: Admin,
    *,
    fresh_password: bool,
    opened: Sequence[str],
) -> None:
    """`fresh_password`: the administrator's password was made in this run; it is shown this once."""
    folder = DataFolder(options.data)
    password = f"{admin.password}  (shown this once; kept in {folder.admin_file})"
    kafka = plan.services[0].environment.get("KAFKA_BOOTSTRAP")
    rows = {
        "REST": f"{plan.url}/v1",
        "WebSocket": plan.ws_url,
        "gRPC": ", ".join(
            f"{name if name == 'analytics' else name + '_service'} {address}"
            for name, address in plan.grpc.items()
        ),
        **({"Kafka": kafka} if kafka else {}),
        "SQL": _sql(plan),
        "admin": admin.email,
        "password": password if fresh_password else f"as in {folder.admin_file}",
        "data": str(folder.path),
        "logs": f"{folder.logs}, or `make logs`",
    }
    console.print("\n[bold green]Ready.[/]")
    for name, value in rows.items():
        console.print(f"  {name:<10} {value}", highlight=False, markup=False, soft_wrap=True)
    for question in opened:
        console.print(f"  opened: {question}", highlight=False)
    if options.traders:
        console.print(f"  simulated traders at work: {options.traders}", highlight=False)
    console.print("\nA first thing to try, in another terminal:\n", highlight=False)
    console.print(FIRST_THING.format(url=plan.url), soft_wrap=True, highlight=False, markup=False)
    console.print("\nCtrl-C stops everything; the data stays.")


def _sql(plan: Plan) -> str:
    """Where analysts ask, and as whom. A server of its own answers them itself."""
    return SQL_OF_A_SERVER if os.environ.get("CLICKHOUSE_URL") else SQL_HERE.format(url=plan.sql_url)
