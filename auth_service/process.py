"""Wires auth_service, top to bottom."""

import asyncio

from aiohttp import web

from auth_service import metrics
from auth_service.accounts import MICROS_PER_SECOND, Accounts
from auth_service.database import borrowed, until_migrated
from auth_service.founding import ensure_treasury
from auth_service.grants import FirstGrants
from auth_service.hashing import BoundedHasher
from auth_service.identity import SYSTEM_ACTOR
from auth_service.keys import load_or_create
from auth_service.order_client import OrderClient
from auth_service.rpc import SERVICE_NAME, AuthServicer
from auth_service.settings import AuthSettings
from auth_service.tokens import AccessTokenIssuer
from predmarket.auth.v1 import auth_pb2_grpc
from runtime import postgres
from runtime.lifecycle import Process
from runtime.ops_http import Handler
from runtime.tokens import TokenVerifier

JWKS_PATH = "/.well-known/jwks.json"
JWKS_CACHE_SECONDS = 60


async def serve(process: Process, settings: AuthSettings) -> None:
    """Starts everything; returns when the process can serve."""
    pool = await process.enter(
        postgres.open_pool(settings.database_url.get_secret_value(), name=process.instance)
    )
    process.ready_when("postgres", lambda: postgres.answers(pool))
    hasher = BoundedHasher(settings.hashing_limits())
    process.on_stop(lambda: asyncio.to_thread(hasher.close))
    metrics.HASHING_PENDING.set_function(lambda: hasher.pending)

    await until_migrated(pool)
    keys = await load_or_create(pool)
    async with borrowed(pool) as connection:
        await ensure_treasury(connection, grant_micros=settings.treasury_grant_micros)
    issuer = AccessTokenIssuer(keys.signing, settings.access_token_settings())
    process.ops.add_route(JWKS_PATH, _document(keys.jwks_json()))

    orders = OrderClient(
        settings.order_addresses(),
        lambda lifetime_seconds: issuer.issue_for_service(
            service_id=SYSTEM_ACTOR,
            issued_at_seconds=process.clock.now_micros() // MICROS_PER_SECOND,
            lifetime_seconds=lifetime_seconds,
        ),
    )
    process.on_stop(orders.close)
    grants = FirstGrants(pool, orders)
    process.spawn(grants.run(), name="first grants")

    accounts = Accounts(
        pool=pool,
        hasher=hasher,
        issuer=issuer,
        grants=grants,
        settings=settings.account_settings(),
        clock=process.clock,
    )
    servicer = AuthServicer(accounts, _verifier(process, settings), keys.jwks_json())
    await process.serve_grpc(
        [SERVICE_NAME], lambda server: auth_pb2_grpc.add_AuthServiceServicer_to_server(servicer, server)
    )


def _verifier(process: Process, settings: AuthSettings) -> TokenVerifier:
    """Checks our own tokens as everybody else does: by the document we publish."""
    host = settings.ops_host if settings.ops_host not in ("", "0.0.0.0", "::") else "127.0.0.1"
    verifier = TokenVerifier(
        jwks_url=f"http://{host}:{process.ops.port}{JWKS_PATH}",
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        clock=process.clock,
    )
    process.on_stop(verifier.close)
    return verifier


def _document(text: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        headers = {"Cache-Control": f"public, max-age={JWKS_CACHE_SECONDS}"}
        return web.Response(text=text, content_type="application/json", headers=headers)

    return answer
