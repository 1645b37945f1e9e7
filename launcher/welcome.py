"""What `make run` prints when everything is ready: what is where, and a first thing to try."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from launcher.folder import Admin, DataFolder
from launcher.options import RunOptions
from launcher.plan import Plan

FIRST_THING = """\
curl -s {url}/v1/auth/register -H 'Content-Type: application/json' -H "Idempotency-Key: $RANDOM$RANDOM" \\
  -d '{{"email": "ann@example.com", "password": "a-long-passphrase", "display_name": "Ann"}}'
curl -s {url}/v1/markets"""


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
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="ignore", no_wrap=True)
    table.add_row("REST", f"{plan.url}/v1")
    table.add_row("WebSocket", plan.ws_url)
    table.add_row("admin", admin.email)
    if fresh_password:
        table.add_row("password", f"{admin.password}  (shown this once; kept in {folder.admin_file})")
    else:
        table.add_row("password", f"as in {folder.admin_file}")
    table.add_row("data", str(folder.path))
    table.add_row("logs", f"{folder.logs}, or `make logs`")
    console.print()
    console.print("[bold green]Ready.[/]")
    console.print(table, soft_wrap=True, highlight=False)
    for question in opened:
        console.print(f"  opened: {question}", highlight=False)
    if options.traders:
        console.print(f"  simulated traders at work: {options.traders}", highlight=False)
    console.print("\nA first thing to try, in another terminal:\n", highlight=False)
    console.print(FIRST_THING.format(url=plan.url), soft_wrap=True, highlight=False, markup=False)
    console.print("\nCtrl-C stops everything; the data stays.")
