"""The README's tour as printed, and the programs beside it, on running services."""

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import predmarket_client
from predmarket_client import Client
from tests.client.support import Clients, open_market

FOLDER = Path(predmarket_client.__file__).parents[1]
README_URL = "http://127.0.0.1:8080"
SHOWN = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)


def snippets() -> list[str]:
    """Of the README, in order."""
    return re.findall(r"^```python\n(.*?)^```$", (FOLDER / "README.md").read_text(), re.MULTILINE | re.DOTALL)


async def run_snippet(code: str, names: dict[str, Any]) -> str:
    """As `python -m asyncio` runs it; what it printed."""
    printed = io.StringIO()
    compiled = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(printed):
        pending = eval(compiled, names)
        if inspect.iscoroutine(pending):
            await pending
    return printed.getvalue()


async def test_the_tour_of_the_readme_runs_as_printed(admin: Client, clients: Clients) -> None:
    await open_market(admin)
    names: dict[str, Any] = {}
    shown = 0
    for code in snippets():
        assert "print(" in code, "a snippet shows nothing"
        printed = await run_snippet(code.replace(README_URL, clients.suite.url), names)
        expected = SHOWN.findall(code)
        assert printed.splitlines() == expected, code
        shown += len(expected)
    assert shown >= 7


def test_the_market_maker_is_ten_lines() -> None:
    module = ast.parse((FOLDER / "examples/market_maker.py").read_text())
    body = next(node for node in module.body if isinstance(node, ast.AsyncFunctionDef)).body
    statements = [node for part in body for node in ast.walk(part) if isinstance(node, ast.stmt)]
    assert len(statements) <= 10


@asynccontextmanager
async def running(name: str, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """The program, until the test has seen enough of it; it must not have ended by then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(FOLDER / "examples" / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
        assert process.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_the_market_maker_quotes_both_sides_and_the_watcher_shows_it(
    admin: Client, clients: Clients
) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    key = await ann.api_keys.create("market maker")
    assert key.api_key is not None
    async with running("watch_book.py", clients.suite.url, market_id) as lines, asyncio.timeout(60):
        assert await lines.readline() == b"event 2: bid -, ask -\n"
        async with running("market_maker.py", clients.suite.url, key.api_key, market_id):
            while b": bid 0.48, ask 0.52\n" not in await lines.readline():
                pass
            quoted = await ann.orders.list(open_only=True, market_id=market_id).all()
    assert {(order.outcome, order.price_micros, order.quantity_micros) for order in quoted} == {
        ("YES", 480_000, 10_000_000),
        ("NO", 480_000, 10_000_000),
    }
