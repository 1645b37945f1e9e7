"""Bad input at REST: tokens, passwords, codes and keys that open nothing."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

import auth_service
from api_gateway.catalogue.accounts import CHALLENGE, CLIENT, VERIFIER
from tests.api_gateway.support import POINT, Suite, User
from tests.auth_service.support import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMONEST = Path(auth_service.__path__[0], "common_passwords.txt").read_text().split()
COMMONEST_TRIED = 40


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


async def test_no_forged_token_opens_a_door(shared_suite: Suite, shared_admin: User) -> None:
    user = await shared_suite.user("forger")
    published = (await user.get("/v1/.well-known/jwks.json"))["keys"][0]
    public = base64.urlsafe_b64decode(published["x"] + "==")
    header, payload, signature = user.token.split(".")
    kid = decoded(header)["kid"]
    admins = encoded({**decoded(payload), "role": "admin"})
    hs256 = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': kid})}.{admins}"
    forged = [
        f"{encoded({'alg': 'none', 'typ': 'at+jwt', 'kid': kid})}.{admins}.",
        f"{hs256}.{encoded(hmac.new(public, hs256.encode(), hashlib.sha256).digest())}",
        f"{header}.{admins}.{signature}",
        f"{header}.{encoded({**decoded(payload), 'exp': 1e30})}.{signature}",
        f"{encoded({**decoded(header), 'kid': 'unknown'})}.{payload}.{signature}",
        f"{encoded({**decoded(header), 'jku': 'http://127.0.0.1:1/jwks'})}.{payload}.{signature}",
        f"{encoded({**decoded(header), 'jwk': published})}.{payload}.{signature}",
        f"{encoded({**decoded(header), 'crit': ['x'], 'x': 1})}.{payload}.{signature}",
        f"{header}.{payload}.{signature[::-1]}",
        f"{header}.{payload}",
        user.token + "x" * 10_000,
        "pmk_" + "0" * 32 + "_" + "A" * 43,
        "pmk_",
        "",
    ]
    for token in forged:
        for path in ("/v1/me", "/v1/admin/users", "/v1/markets"):
            reply = await shared_suite.nobody().ask("GET", path, headers={"Authorization": f"Bearer {token}"})
            assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), (path, token[:200])
            assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert (await user.ask("GET", "/v1/me")).status == 200


async def test_a_credential_comes_once_as_a_bearer_token_and_in_a_header(shared_suite: Suite) -> None:
    user = await shared_suite.user("bearer")
    nobody = shared_suite.nobody()
    for value in (f"Basic {user.token}", user.token, f"Bearer {user.token} {user.token}", "Bearer"):
        reply = await nobody.ask("GET", "/v1/me", headers={"Authorization": value})
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), value[:20]
    for name in ("access_token", "token", "api_key"):
        reply = await nobody.ask("GET", f"/v1/me?{name}={user.token}")
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")


async def test_each_kind_of_token_is_good_for_its_own_use_only(shared_suite: Suite) -> None:
    user = await shared_suite.user("kinds")
    login = await user.post("/v1/auth/login", {"email": user.email, "password": PASSWORD}, status=200)
    refresh = User(shared_suite.http, shared_suite.url, token=login["refresh_token"])
    assert (await refresh.ask("GET", "/v1/me")).code == "UNAUTHENTICATED"
    nobody = shared_suite.nobody()
    for token in (login["access_token"], login["refresh_token"] + "x", "x", login["refresh_token"].upper()):
        reply = await nobody.ask("POST", "/v1/auth/refresh", {"refresh_token": token})
        assert reply.code in ("REFRESH_TOKEN_INVALID", "INVALID_ARGUMENT"), token[:20]
    ticket = await user.post("/v1/ws-tickets")
    holder = User(shared_suite.http, shared_suite.url, token=ticket["ticket"])
    assert (await holder.ask("GET", "/v1/me")).code == "UNAUTHENTICATED"


async def test_who_does_not_know_the_password_does_not_learn_who_is_here(shared_suite: Suite) -> None:
    known = await shared_suite.user("known")
    nobody = shared_suite.nobody()
    answers = []
    for email in (known.email, "unknown@example.org"):
        for password in ("wrong one", PASSWORD + "x", "x" * 7, "x" * 65):
            reply = await nobody.ask("POST", "/v1/auth/login", {"email": email, "password": password})
            answers.append((reply.status, {**reply.body, "trace_id": ""}))
        reply = await nobody.ask("POST", "/v1/auth/password/forgot", {"email": email})
        assert (reply.status, reply.body) == (202, None)
    assert answers[:4] == answers[4:]
    assert [status for status, _ in answers[:2]] == [401, 401]


async def test_passwords_have_a_length_and_are_not_the_commonest(shared_suite: Suite) -> None:
    nobody = shared_suite.nobody()
    for length, status in ((7, 422), (8, 201), (64, 201), (65, 422)):
        body = {"email": f"length-{length}@example.org", "password": ("kV7#qLm2w" * 8)[:length]}
        assert (await nobody.ask("POST", "/v1/auth/register", body)).status == status, length
    assert len(COMMONEST) >= 3_000
    for number, password in enumerate(COMMONEST[:: len(COMMONEST) // COMMONEST_TRIED]):
        body = {"email": f"common-{number}@example.org", "password": password}
        reply = await nobody.ask("POST", "/v1/auth/register", body)
        assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, "/password"), password


async def test_pkce_needs_the_challenge_the_verifier_and_a_code_that_is_new(shared_suite: Suite) -> None:
    user = await shared_suite.user("pkce")
    asked = {**CLIENT, "code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    bad: list[dict[str, Any]] = [
        {key: value for key, value in asked.items() if key != "code_challenge"},
        {**asked, "code_challenge": ""},
        {**asked, "code_challenge_method": "plain"},
        {**asked, "redirect_uri": "http://evil.example/callback"},
        {**asked, "redirect_uri": CLIENT["redirect_uri"] + "/"},
        {**asked, "client_id": "nobody"},
    ]
    for body in bad:
        assert (await user.ask("POST", "/v1/auth/authorize", body)).status == 422, body
    for spoilt in ({"code_verifier": "w" * 43}, {"client_id": "web"}, {"redirect_uri": "http://127.0.0.1/x"}):
        code = (await user.post("/v1/auth/authorize", asked, status=200))["code"]
        exchange = {**CLIENT, "code": code, "code_verifier": VERIFIER}
        reply = await shared_suite.nobody().ask("POST", "/v1/auth/token", {**exchange, **spoilt})
        assert reply.code == "AUTHORIZATION_CODE_INVALID", spoilt
        reply = await shared_suite.nobody().ask("POST", "/v1/auth/token", exchange)
        assert reply.code == "AUTHORIZATION_CODE_INVALID", "the first attempt spends the code"
    code = (await user.post("/v1/auth/authorize", asked, status=200))["code"]
    exchange = {**CLIENT, "code": code, "code_verifier": VERIFIER}
    session = await shared_suite.nobody().post("/v1/auth/token", exchange, status=200)
    reply = await shared_suite.nobody().ask("POST", "/v1/auth/token", exchange)
    assert reply.code == "AUTHORIZATION_CODE_INVALID"
    refresh = {"refresh_token": session["refresh_token"]}
    assert (await user.ask("POST", "/v1/auth/refresh", refresh)).code == "REFRESH_TOKEN_INVALID"


async def test_a_key_of_a_write_is_there_where_it_must_be_and_reads_well(
    shared_suite: Suite, shared_admin: User
) -> None:
    body = {"kind": "PROMOTION", "amount_micros": POINT, "reason": "x"}
    for key in ("x" * 191, "x" * 300, "a b", "é", "a\tb"):
        reply = await shared_admin.ask("POST", "/v1/admin/treasury/grants", body, key=key)
        assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT"), key
    reply = await shared_admin.ask("POST", "/v1/admin/treasury/grants", body, key="")  # none at all
    assert (reply.status, reply.code) == (422, "INVALID_ARGUMENT")
    reply = await shared_admin.ask("POST", "/v1/admin/treasury/grants", body, key="x" * 190)
    assert reply.status == 201


async def test_a_request_id_that_is_odd_is_not_passed_on(shared_suite: Suite) -> None:
    for text in ("a b", "x" * 300, "{}", "<script>", "é"):
        reply = await shared_suite.nobody().ask("GET", "/v1/time", headers={"X-Request-Id": text})
        assert reply.headers["X-Request-Id"] != text
    good = "0190a00000007000800000000000000f"
    reply = await shared_suite.nobody().ask("GET", "/v1/time", headers={"X-Request-Id": good})
    assert reply.headers["X-Request-Id"] == good
