"""Signing keys change without a valid user being refused: published before they sign, and after."""

import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import Any

import jwt

from auth_service import keys
from auth_service.database import transaction
from auth_service.identity import SYSTEM_ACTOR
from auth_service.key_rotation import KeyRotation, RotationSettings
from predmarket.auth.v1 import auth_pb2
from runtime.postgres import open_pool
from runtime.tokens import TokenVerifier
from tests.auth_service.conftest import StartAuth
from tests.auth_service.support import Auth

FAR = RotationSettings(timedelta(days=30), timedelta(seconds=60))


async def published(auth: Auth) -> set[str]:
    text = (await auth.ask("GetJwks", auth_pb2.GetJwksRequest())).jwks_json
    return {key["kid"] for key in json.loads(text)["keys"]}


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


async def rotate(fresh_database: Any, ahead_seconds: float) -> str | None:
    async with (
        open_pool(fresh_database.url_for("pm_auth"), name="test", min_size=1) as pool,
        transaction(pool) as connection,
    ):
        return await keys.add(
            connection,
            actor_id=SYSTEM_ACTOR,
            reason="a test",
            publish_ahead=timedelta(seconds=ahead_seconds),
        )


async def until_signs(auth: Auth, kid: str) -> str:
    """The first refreshed session's access token under this key."""
    tokens = (await auth.register(f"{time.time_ns()}@example.org")).tokens
    async with asyncio.timeout(60):
        while kid_of(tokens.access_token) != kid:
            await asyncio.sleep(0.1)
            tokens = await auth.refresh(tokens.refresh_token)
    access_token: str = tokens.access_token
    return access_token


async def test_a_new_key_is_published_before_it_signs_and_old_tokens_go_on(
    start_auth: StartAuth, fresh_database: Any
) -> None:
    auth, other = await start_auth(), await start_auth()
    old = (await auth.register()).tokens
    kid = await rotate(fresh_database, 8)
    assert kid is not None
    async with asyncio.timeout(30):
        while kid not in await published(auth) or kid not in await published(other):
            await asyncio.sleep(0.1)
    assert kid_of((await auth.refresh(old.refresh_token)).access_token) == kid_of(old.access_token)
    new = await until_signs(auth, kid)
    for each in (auth, other):
        await each.verifier.identity(f"Bearer {new}")
        await each.verifier.identity(f"Bearer {old.access_token}")
        assert {kid, kid_of(old.access_token)} <= await published(each)


async def test_no_valid_token_is_refused_while_keys_change_under_load(
    start_auth: StartAuth, fresh_database: Any
) -> None:
    auths = [await start_auth(), await start_auth()]
    stop = asyncio.Event()
    checked: list[str] = []

    async def use(number: int) -> None:
        auth = auths[number % 2]
        tokens = (await auth.register(f"u{number}@example.org")).tokens
        while not stop.is_set():
            tokens = await auth.refresh(tokens.refresh_token)
            for each in auths:  # raises when one refuses it
                await each.verifier.identity(f"Bearer {tokens.access_token}")
                await each.ask("GetMe", auth_pb2.GetMeRequest(), token=tokens.access_token)
            checked.append(kid_of(tokens.access_token))
            await asyncio.sleep(0.02)

    users = [asyncio.create_task(use(number)) for number in range(6)]
    try:
        await asyncio.sleep(1)
        for _ in range(2):
            kid = await rotate(fresh_database, 8)
            assert kid is not None
            async with asyncio.timeout(100):
                while checked[-6:].count(kid) < 6:
                    await asyncio.sleep(0.1)
                    for user in users:
                        assert not user.done(), user.exception()
    finally:
        stop.set()
        await asyncio.gather(*users)
    assert len(set(checked)) == 3
    assert len(checked) > 100


async def test_a_superseded_key_loses_its_private_half_and_is_published_until_its_tokens_are_gone(
    fresh_database: Any, rows: Any
) -> None:
    async with open_pool(fresh_database.url_for("pm_auth"), name="test", min_size=1) as pool:
        old = (await keys.load_or_create(pool)).signing
        async with transaction(pool) as connection:
            await keys.add(connection, actor_id=SYSTEM_ACTOR, reason="a test", publish_ahead=timedelta())
        rotation = KeyRotation(pool, await keys.load_or_create(pool), FAR, lambda _ring: None)
        await rotation.renew()
        assert await rows.fetchval("SELECT count(*) FROM signing_keys WHERE retired_at IS NOT NULL") == 0
        await rows.execute("UPDATE signing_keys SET signs_from = signs_from - interval '61 s'")
        await rotation.renew()
        row = await rows.fetchrow(
            "SELECT *, published_until - now() AS left FROM signing_keys WHERE kid = $1", old.kid
        )
        assert row["private_key"] is None
        assert row["left"].total_seconds() > 3_600
        assert old.kid in {key.kid for key in rotation.ring.published}
        await rows.execute("UPDATE signing_keys SET published_until = now() WHERE kid = $1", old.kid)
        await rotation.renew()
        assert {key.kid for key in rotation.ring.published} == {rotation.ring.signing.kid}
        retired = await rows.fetch("SELECT target FROM audit_log WHERE action = 'signing_key.retired'")
        assert [each["target"] for each in retired] == [old.kid]


async def test_an_old_key_gets_one_successor_by_itself_however_many_processes_look(
    fresh_database: Any, rows: Any
) -> None:
    async with open_pool(fresh_database.url_for("pm_auth"), name="test", min_size=1) as pool:
        ring = await keys.load_or_create(pool)
        rotations = [KeyRotation(pool, ring, FAR, lambda _ring: None) for _ in range(4)]
        await asyncio.gather(*(rotation.renew() for rotation in rotations))
        assert await rows.fetchval("SELECT count(*) FROM signing_keys") == 1
        await rows.execute(
            "UPDATE signing_keys SET created_at = now() - interval '31 days', signs_from = now() - interval '31 days'"
        )
        for _ in range(2):
            await asyncio.gather(*(rotation.renew() for rotation in rotations))
        assert await rows.fetchval("SELECT count(*) FROM signing_keys") == 2
        assert {rotation.ring.signing.kid for rotation in rotations} == {ring.signing.kid}
        assert all(len(rotation.ring.published) == 2 for rotation in rotations)


async def test_the_command_makes_one_key_at_a_time(fresh_database: Any, auth: Auth) -> None:
    async def run() -> tuple[int | None, str]:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "auth_service",
            "rotate-keys",
            env={
                "PATH": "",
                "PYTHONPATH": ":".join(path for path in sys.path if path),
                "DATABASE_URL": fresh_database.url_for("pm_auth"),
                "KEY_PUBLISH_AHEAD_SECONDS": "120",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(child.communicate(), 60)
        return child.returncode, output.decode()

    code, output = await run()
    assert code == 0
    kid = output.split()[0]
    assert "signs in 120 seconds" in output
    async with asyncio.timeout(30):
        while kid not in await published(auth):
            await asyncio.sleep(0.1)
    code, output = await run()
    assert code == 1
    assert "published already" in output


async def test_a_token_signed_by_an_erased_key_is_refused(start_auth: StartAuth, rows: Any) -> None:
    auth = await start_auth()
    old = (await auth.register()).tokens.access_token
    stranger = keys.SigningKey.generate()
    await rows.execute(
        """
        INSERT INTO signing_keys (kid, algorithm, public_key, private_key) VALUES ($1, 'EdDSA', $2, $3)
        """,
        stranger.kid,
        stranger.public_key,
        stranger.private_key,
    )
    await rows.execute(
        """
        UPDATE signing_keys SET retired_at = now(), private_key = NULL, published_until = now() WHERE kid <> $1
        """,
        stranger.kid,
    )
    async with asyncio.timeout(30):
        while await published(auth) != {stranger.kid}:
            await asyncio.sleep(0.1)
    fresh = TokenVerifier(jwks_url=auth.jwks_url, issuer="predmarket", audience="predmarket-api")
    refusal = await auth.refusal_of(fresh.identity(f"Bearer {old}"))
    await fresh.close()
    assert refusal.code == "UNAUTHENTICATED"
