"""API keys, sessions, tickets, passwords, PKCE; other people's accounts; the house's money."""

import asyncio
import base64
import hashlib
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from api_gateway.tickets import key_of
from engine.commands import TREASURY_ID
from tests.api_gateway.support import POINT, Suite, User, open_market
from tests.auth_service.support import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_SECONDS = 50  # what takes effect within 5 s


async def test_an_api_key_does_what_its_scopes_say_until_it_is_revoked(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    made = await ann.ask("POST", "/v1/api-keys", {"name": "bot", "scopes": ["read"]}, key="k")
    again = await ann.ask("POST", "/v1/api-keys", {"name": "bot", "scopes": ["read"]}, key="k")
    assert made.body["api_key"].startswith("pmk_")
    assert (again.body["api_key"], again.headers["Idempotency-Replayed"]) == (None, "true")
    other = await ann.ask("POST", "/v1/api-keys", {"name": "other", "scopes": ["read"]}, key="k")
    assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    bot = User(shared_suite.http, shared_suite.url, token=made.body["api_key"])
    assert (await bot.get("/v1/portfolio"))["positions"] == []
    assert (await bot.ask("POST", "/v1/orders", {})).code == "FORBIDDEN"
    listed = (await bot.get("/v1/api-keys"))["items"]
    assert [item["api_key_id"] for item in listed] == [made.body["api_key_id"]]
    path = f"/v1/api-keys/{made.body['api_key_id']}"
    assert (await (await shared_suite.user("bob")).ask("DELETE", path)).code == "NOT_FOUND"
    assert (await ann.ask("DELETE", path)).status == 204
    await _until_refused(bot)


async def test_sessions_are_listed_and_ended(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    login = {"email": ann.email, "password": PASSWORD}
    others = [User(shared_suite.http, shared_suite.url) for _ in range(2)]
    for other in others:
        other.token = (await other.post("/v1/auth/login", login, status=200))["access_token"]
    sessions = (await ann.get("/v1/sessions"))["items"]
    assert (len(sessions), [item["current"] for item in sessions].count(True)) == (3, True)
    second = next(item for item in (await others[0].get("/v1/sessions"))["items"] if item["current"])
    assert (await ann.ask("DELETE", f"/v1/sessions/{second['session_id']}")).status == 204
    await _until_refused(others[0])
    assert (await ann.ask("DELETE", "/v1/sessions")).body == {"sessions_ended": 1}
    await _until_refused(others[1])
    assert len((await ann.get("/v1/sessions"))["items"]) == 1


async def test_a_ticket_lies_in_redis_under_its_hash_and_not_for_long(
    shared_suite: Suite, redis_server: Any
) -> None:
    ann = await shared_suite.user("ann")
    ticket = await ann.post("/v1/ws-tickets")
    async with Redis.from_url(redis_server.url) as redis:
        value = orjson.loads(await redis.get(key_of(ticket["ticket"])) or b"")
        seconds = await redis.ttl(key_of(ticket["ticket"]))
    assert 0 < seconds <= 30
    assert {"user_id": ann.user_id, "role": "user", "version": 0}.items() <= value.items()
    assert value["session_id"] == (await ann.get("/v1/sessions"))["items"][0]["session_id"]
    assert ticket["ws_url"] == shared_suite.ws_url


async def test_a_password_is_changed_and_other_sessions_end(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    await ann.post("/v1/auth/login", {"email": ann.email, "password": PASSWORD}, status=200)
    wrong = {"current_password": "not this one", "new_password": PASSWORD + "2"}
    assert (await ann.ask("POST", "/v1/auth/password/change", wrong)).code == "INVALID_CREDENTIALS"
    body = {"current_password": PASSWORD, "new_password": PASSWORD + "2"}
    first = await ann.ask("POST", "/v1/auth/password/change", body, key="p")
    again = await ann.ask("POST", "/v1/auth/password/change", body, key="p")
    assert (first.body, again.body) == ({"sessions_ended": 1}, {"sessions_ended": 1})
    assert again.headers["Idempotency-Replayed"] == "true"
    for email in (ann.email, "nobody@example.org"):
        assert (await ann.ask("POST", "/v1/auth/password/forgot", {"email": email})).status == 202
    reset = {"token": "nonsense", "new_password": PASSWORD}
    assert (await ann.ask("POST", "/v1/auth/password/reset", reset)).status in (401, 422)


async def test_a_client_gets_a_session_of_its_own_by_pkce(shared_suite: Suite) -> None:
    ann = await shared_suite.user("ann")
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    client = {"client_id": "cli", "redirect_uri": "http://127.0.0.1:8976/callback"}
    asked = {**client, "code_challenge": challenge, "code_challenge_method": "S256"}
    unknown = await ann.ask("POST", "/v1/auth/authorize", {**asked, "client_id": "nobody"})
    assert (unknown.status, unknown.code) == (422, "INVALID_ARGUMENT")
    plain = await ann.ask("POST", "/v1/auth/authorize", {**asked, "code_challenge_method": "plain"})
    assert plain.body["errors"][0]["pointer"] == "/code_challenge_method"
    code = (await ann.post("/v1/auth/authorize", asked, status=200))["code"]
    exchange = {**client, "code": code, "code_verifier": verifier}
    session = await shared_suite.nobody().post("/v1/auth/token", exchange, status=200)
    assert session["user"]["user_id"] == ann.user_id
    assert (await ann.ask("POST", "/v1/auth/token", exchange)).code == "AUTHORIZATION_CODE_INVALID"
    keys = (await shared_suite.nobody().get("/v1/.well-known/jwks.json"))["keys"]
    assert {key["alg"] for key in keys} == {"EdDSA"}


async def test_an_administrator_changes_roles_and_suspends(shared_suite: Suite, shared_admin: User) -> None:
    ann = await shared_suite.user("ann")
    found = (await shared_admin.get(f"/v1/admin/users?q={ann.user_id}&role=user&status=ACTIVE"))["items"]
    assert [item["email"] for item in found] == [ann.email]
    path = f"/v1/admin/users/{ann.user_id}"
    changed = await shared_admin.post(f"{path}/role", {"role": "analyst", "reason": "reads"}, status=200)
    assert changed["role"] == "analyst"
    assert (await shared_admin.ask("POST", f"{path}/suspend", {})).code == "INVALID_ARGUMENT"
    suspended = await shared_admin.post(f"{path}/suspend", {"reason": "asked for it"}, status=200)
    assert suspended["status"] == "SUSPENDED"
    await _until_refused(ann)
    login = {"email": ann.email, "password": PASSWORD}
    assert (await ann.ask("POST", "/v1/auth/login", login)).code == "ACCOUNT_SUSPENDED"
    restored = await shared_admin.post(f"{path}/restore", {"reason": "asked for it"}, status=200)
    assert (restored["status"], (await shared_admin.get(path))["role"]) == ("ACTIVE", "analyst")
    own = f"/v1/admin/users/{shared_admin.user_id}"
    assert (await shared_admin.ask("POST", f"{own}/suspend", {"reason": "x"})).code == "LAST_ADMIN"


async def test_the_house_adds_up(shared_suite: Suite, shared_admin: User) -> None:
    market = await open_market(shared_admin)
    ann = await shared_suite.user("ann")
    order = {"market_id": market, "side": "BUY", "outcome": "YES", "type": "MARKET"}
    await ann.post("/v1/orders", {**order, "quantity_micros": 100 * POINT, "max_slippage_bps": 1_000})
    before = await shared_admin.get("/v1/admin/treasury")
    assert before["user_id"] == TREASURY_ID
    grant = {"kind": "PROMOTION", "amount_micros": POINT, "reason": "more"}
    assert (
        await shared_admin.ask("POST", "/v1/admin/treasury/grants", grant, key="")
    ).code == "INVALID_ARGUMENT"
    done = await shared_admin.post("/v1/admin/treasury/grants", grant)
    assert done["available_micros"] == before["available_micros"] + POINT
    row = (await shared_admin.get("/v1/admin/revenue"))["items"][0]
    assert (row["market_id"], row["swept_micros"]) == (market, 0)
    assert row["vault_micros"] > 0
    swept = await shared_admin.post("/v1/admin/treasury/sweep", {"market_id": market}, status=200)
    row_after = (await shared_admin.get("/v1/admin/revenue"))["items"][0]
    assert (row_after["vault_micros"], row_after["swept_micros"]) == (0, swept["swept_micros"])
    after = await shared_admin.get("/v1/admin/treasury")
    assert after["granted_micros"] == before["granted_micros"] + POINT
    assert after["in_markets_micros"] == before["in_markets_micros"] - swept["swept_micros"]
    solvency = await ann.get(f"/v1/markets/{market}/solvency")
    assert (solvency["is_solvent"], solvency["users_yes_micros"]) == (True, 100 * POINT)
    decision = {"outcome": "YES", "reason": "it did"}
    await shared_admin.post(f"/v1/admin/markets/{market}/resolve", decision, status=200)
    async with asyncio.timeout(WAIT_SECONDS):
        while not (settled := (await ann.get("/v1/settlements"))["items"]):
            await asyncio.sleep(0.1)
    assert (settled[0]["points_micros"], settled[0]["yes_micros"]) == (100 * POINT, 100 * POINT)
    assert (settled[0]["status"], settled[0]["outcome"]) == ("RESOLVED", "YES")
    assert (await ann.get(f"/v1/markets/{market}/solvency"))["is_solvent"]


async def _until_refused(user: User) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await user.ask("GET", "/v1/portfolio")).status != 401:
            await asyncio.sleep(0.1)
