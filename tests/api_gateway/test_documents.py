"""The documents: they are valid, they are about every route, and what they print works."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from api_gateway.catalogue.accounts import PASSWORD
from api_gateway.openapi import document
from api_gateway.openapi30 import as_30
from api_gateway.routing import Access, Bucket, Scope
from api_gateway.walkthrough import WALKTHROUGH
from runtime.errors import ErrorCode
from tests.api_gateway.contract import described, routes
from tests.api_gateway.support import POINT, Suite, User, open_market

COMMAND_SECONDS = 60
BUY = {"side": "BUY", "outcome": "YES", "type": "MARKET", "quantity_micros": 10 * POINT}


def test_the_openapi_document_is_valid_and_names_every_route() -> None:
    latest = document(described())
    OpenAPIV31SpecValidator(latest).validate()
    OpenAPIV30SpecValidator(as_30(latest)).validate()
    named = {(method.upper(), path) for path, item in latest["paths"].items() for method in item}
    assert named == {(route.method, route.path) for route in described()}


def test_no_route_is_there_twice() -> None:
    pairs = [(route.method, route.path) for route in routes()]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("route", described(), ids=lambda route: f"{route.method} {route.path}")
def test_a_route_says_who_may_call_and_what_it_counts_as(route: Any) -> None:
    assert route.summary
    assert route.answers
    assert route.writes == (route.method != "GET" and route.path != "/v1/quotes")
    assert (route.access is Access.ADMIN) == route.path.startswith("/v1/admin/")
    assert (route.access is Access.ADMIN) == (route.bucket is Bucket.ADMIN)
    if route.area == "trading" and route.writes:
        assert route.scope is Scope.TRADE
    if route.example is not None:
        assert route.body is not None


async def test_the_pages_are_served_without_help_from_elsewhere(suite: Suite) -> None:
    async with suite.http.get(f"{suite.url}/docs") as answer:
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "//" not in policy
    assert not re.search(r"https?://|<style|<script>|style=", page)
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
        async with suite.http.get(suite.url + asset) as answer:
            assert answer.status == 200, asset
    async with suite.http.get(f"{suite.url}/docs/errors") as answer:
        errors = await answer.text()
    assert all(f'id="{code}"' in errors for code in ErrorCode)
    async with suite.http.get(f"{suite.url}/openapi.json") as answer:
        assert (await answer.json())["openapi"] == "3.1.0"


async def test_a_browser_shows_the_documents(suite: Suite, tmp_path: Any) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    arguments = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}")
    shown = ("--virtual-time-budget=20000", "--dump-dom", f"{suite.url}/docs")
    process = await asyncio.create_subprocess_exec(
        chromium, *arguments, *shown, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    page, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    for text in ("Places an order", "/v1/auth/register", "First steps"):
        assert text in page.decode(), text


async def test_the_first_steps_work_as_printed(suite: Suite, admin: User) -> None:
    await open_market(admin, initial_probability_micros=50_000)  # a bid waits here, too
    script = "\n".join(re.findall(r"```bash\n(.*?)```", WALKTHROUGH, re.DOTALL))
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script + 'echo "ticket $TICKET key $API_KEY"',
        env={**os.environ, "BASE": suite.url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    text = printed.decode()
    assert process.returncode == 0, text
    assert re.search(r"ticket [\w-]{43} key pmk_", text)
    assert '"status":"CANCELLED"' in text
    for answer in ("subscribed", "book.snapshot"):
        assert f'"type":"{answer}"' in text
    assert '"type":"error"' not in text


async def test_every_example_works_as_printed(suite: Suite, admin: User) -> None:
    """In the order of the documents, by whoever may call, with ids put in where a placeholder stands."""
    ann, bob = suite.nobody(), await suite.user("bob")
    market = await open_market(admin)
    values = {"<email>": "ann@example.org", "<market_id>": market}
    for route in described():
        if route.example is None:
            continue
        if route.path.endswith("/sweep"):  # there is something to sweep once somebody traded
            await ann.post("/v1/orders", {**BUY, "market_id": market})
        if route.path.endswith("/reset"):
            values["<reset_token>"] = await suite.reset_token(values["<email>"])
        caller = admin if route.access is Access.ADMIN else ann
        path = await _path(route, ann, bob, admin, market)
        body = {name: values.get(str(value), value) for name, value in route.example.items()}
        if "orders" in body:
            body["orders"] = [{**order, "market_id": market} for order in body["orders"]]
        reply = await caller.ask(route.method, path, body)
        assert reply.status in route.answers, (route.method, route.path, reply)
        _keep(reply.body or {}, values, ann)
        if route.path.endswith(("/logout", "/reset")):
            password = body.get("new_password", PASSWORD)
            login = {"email": values["<email>"], "password": password}
            ann.token = (await ann.post("/v1/auth/login", login, status=200))["access_token"]


def _keep(answer: dict[str, Any], values: dict[str, str], ann: User) -> None:
    """What later examples need."""
    if "refresh_token" in answer:
        ann.token, values["<refresh_token>"] = answer["access_token"], answer["refresh_token"]
    if "code" in answer:
        values["<code>"] = answer["code"]


async def _path(route: Any, ann: User, bob: User, admin: User, market: str) -> str:
    """The route's path with an id that fits its step."""
    path = str(route.path)
    if path == "/v1/orders/{id}":
        order = {**BUY, "market_id": market, "type": "LIMIT", "price_micros": 100_000}
        return path.format(id=(await ann.post("/v1/orders", order))["order_id"])
    if "/users/" in path:
        return path.format(id=bob.user_id)
    if path in ("/v1/admin/markets/{id}", "/v1/admin/markets/{id}/activate"):
        terms = {"question": "Will it?", "liquidity_micros": 1_000 * POINT}
        return path.format(id=(await admin.post("/v1/admin/markets", terms))["market_id"])
    if path.endswith("/resume"):
        market = await open_market(admin)
        await admin.post(f"/v1/admin/markets/{market}/pause", status=200)
    if path.endswith("/pause"):
        market = await open_market(admin)
    return path.format(id=market)
