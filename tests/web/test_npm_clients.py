"""The npm clients against a real gateway: from Node, and from a page in Chromium across origins.

Where Node, npm's packages, Playwright or Chromium are missing, the summary of the run says which part could not run.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtime.ports import free_port
from tests.api_gateway.support import UNLIMITED, Suite, open_market, run_suite

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NPM_SECONDS = 240
CALL_SECONDS = 60
PACKAGES = ("@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web", "grpc-web")


@pytest.fixture(scope="module")
def packages() -> Path:
    """npm's packages and the generated code."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("NOT RUN: the npm gRPC-Web clients, because Node or npm is missing")
    if not all((HERE / "node_modules" / name).exists() for name in PACKAGES):
        installed = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"],
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
        )
        if installed.returncode != 0:
            pytest.skip("NOT RUN: the npm gRPC-Web clients, because npm could not install them")
    generated = HERE / "gen"
    generated.mkdir(exist_ok=True)
    plugin = HERE / "node_modules" / ".bin" / "protoc-gen-es"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-I",
            ROOT / "proto",
            f"--plugin=protoc-gen-es={plugin}",
            f"--es_out={generated}",
            "--es_opt=target=js,import_extension=js",
            *sorted((ROOT / "proto/predmarket").rglob("*.proto")),
        ],
        check=True,
        timeout=CALL_SECONDS,
    )
    return HERE


@pytest.fixture
def page_origin() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
async def suite(
    fresh_database: Any, nats_server: Any, redis_server: Any, page_origin: str
) -> AsyncIterator[Suite]:
    settings = {"redis_url": redis_server.url, "cors_origins": page_origin, **UNLIMITED}
    async with run_suite(fresh_database, nats_server.url, all_settings=settings) as running:
        yield running


async def target(suite: Suite) -> dict[str, str]:
    market_id = await open_market(await suite.admin())
    user = await suite.user("ann")
    return {"url": suite.url, "marketId": market_id, "token": user.token}


def check(result: dict[str, Any]) -> None:
    connect = result["connectWeb"]
    assert connect["snapshots"] == [True, False]
    assert connect["bids"] == [[100_000, 1_000_000]]
    assert (connect["refused"], connect["late"]) == ("Unauthenticated", "DeadlineExceeded")
    assert int(connect["pool"]) > 0
    for name in ("grpcWebBinary", "grpcWebText"):
        calls = result[name]
        assert calls["bytes"] > 50
        assert calls["streamed"] > 50
        assert calls["isSnapshot"]
        assert calls["missing"] == 3


async def test_both_clients_from_node(packages: Path, suite: Suite) -> None:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(packages / "node.mjs"),
        json.dumps(await target(suite)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await asyncio.wait_for(process.communicate(), CALL_SECONDS)
    assert process.returncode == 0, complaints.decode()
    check(json.loads(output))


async def test_both_clients_from_a_page_of_another_origin(
    packages: Path, suite: Suite, page_origin: str
) -> None:
    playwright = pytest.importorskip(
        "playwright.async_api", reason="NOT RUN: gRPC-Web from a browser, because Playwright is missing"
    )
    browser_path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser_path is None:
        pytest.skip("NOT RUN: gRPC-Web from a browser, because Chromium is missing")
    runner = await serve_pages(packages, int(page_origin.rsplit(":", 1)[1]))
    try:
        async with playwright.async_playwright() as started:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = await started.chromium.launch(executable_path=browser_path, args=arguments)
            page = await browser.new_page()
            messages: list[str] = []
            page.on("console", lambda message: messages.append(message.text))
            page.on("pageerror", lambda error: messages.append(str(error)))
            await page.goto(f"{page_origin}/page.html")
            aim = await target(suite)
            try:
                result = await page.evaluate("aim => window.everything(aim)", aim)
            except playwright.Error as error:
                raise AssertionError(f"{error} {messages}") from error
            check(result)
            foreign = f"{page_origin.replace('127.0.0.1', 'localhost')}/page.html"
            await page.goto(foreign)
            refused = await page.evaluate(
                "aim => window.connectWeb(aim).then(() => 'called', error => String(error))", aim
            )
            assert "Failed to fetch" in refused, "a page that is not on the list could call"
            await browser.close()
    finally:
        await runner.cleanup()


async def serve_pages(folder: Path, port: int) -> web.AppRunner:
    """The page and its modules."""
    app = web.Application()
    app.router.add_static("/", folder, follow_symlinks=True)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner
