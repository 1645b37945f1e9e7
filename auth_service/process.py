"""Wires auth_service, top to bottom."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from auth_service import housekeeping, metrics
from auth_service.accounts import Accounts
from auth_service.api_keys import ApiKeyDesk
from auth_service.callers import Callers
from auth_service.database import Pool, borrowed, until_migrated
from auth_service.founding import ensure_treasury
from auth_service.grants import FirstGrants
from auth_service.hashing import BoundedHasher
from auth_service.identity import SYSTEM_ACTOR
from auth_service.key_rotation import KeyRotation
from auth_service.keys import load_or_create
from auth_service.mail import MailQueue, MailSender
from auth_service.mail_senders import FolderSender, SmtpSender
from auth_service.order_cancellations import OrderCancellations
from auth_service.order_client import OrderClient
from auth_service.pairs import MICROS_PER_SECOND, Pairs
from auth_service.password_changes import PasswordChanges
from auth_service.pkce import Pkce
from auth_service.refused_tokens import RefusedTokens
from auth_service.rpc_account import AccountRpcs
from auth_service.rpc_admin import UserAdminServicer
from auth_service.rpc_credentials import Credentials, CredentialServicer
from auth_service.rpc_log_in import LogInRpcs
from auth_service.rpc_parts import AuthParts
from auth_service.settings import AuthSettings
from auth_service.tokens import AccessTokenIssuer
from auth_service.user_admin import UserAdmin
from auth_service.writes import Writes
from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from runtime import postgres
from runtime.lifecycle import Process
from runtime.logs import get_logger
from runtime.ops_http import Handler

log = get_logger(__name__)

SERVICES: Final = tuple(service.full_name for service in auth_pb2.DESCRIPTOR.services_by_name.values())
JWKS_PATH: Final = "/.well-known/jwks.json"
JWKS_CACHE_SECONDS: Final = 60


class AuthServicer(LogInRpcs, AccountRpcs):
    """All of AuthService."""


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
    async with borrowed(pool) as connection:
        await ensure_treasury(connection, grant_micros=settings.treasury_grant_micros)
    keys, issuer = await _start_signing(process, settings, pool)
    orders = _order_client(process, settings, issuer)
    grants = FirstGrants(pool, orders)
    process.spawn(grants.run(), name="first grants")
    process.spawn(OrderCancellations(pool, orders).run(), name="orders to cancel")
    process.spawn(housekeeping.run(pool), name="housekeeping")
    refused = RefusedTokens(settings.redis_url.get_secret_value())
    process.on_stop(refused.close)
    mails = MailQueue(_mail_sender(process, settings))
    process.spawn(mails.run(), name="mails")

    credentials = Credentials(pool)
    callers = Callers(process.token_verifier_of(_own_jwks_url(process, settings), credentials))
    writes = Writes(pool, hasher)
    pairs = Pairs(issuer, settings.lifetimes(), process.clock)
    accounts = Accounts(
        pool=pool,
        hasher=hasher,
        pairs=pairs,
        grants=grants,
        writes=writes,
        refused=refused,
        settings=settings.account_settings(),
        clock=process.clock,
    )
    passwords = PasswordChanges(
        pool=pool, hasher=hasher, writes=writes, mails=mails, reset_url=settings.password_reset_url
    )
    process.spawn(passwords.run(), name="forgotten passwords")
    auth = AuthServicer(
        AuthParts(
            pool=pool,
            accounts=accounts,
            pkce=Pkce(pool, pairs, settings.clients()),
            api_keys=ApiKeyDesk(settings.api_key_tier, process.clock),
            passwords=passwords,
            writes=writes,
            callers=callers,
            keys=keys,
        )
    )
    admin = UserAdminServicer(admin=UserAdmin(pool), writes=writes, callers=callers)

    def add(server: Any) -> None:
        auth_pb2_grpc.add_AuthServiceServicer_to_server(auth, server)
        auth_pb2_grpc.add_UserAdminServiceServicer_to_server(admin, server)
        auth_pb2_grpc.add_CredentialServiceServicer_to_server(CredentialServicer(credentials), server)

    await process.serve_grpc(SERVICES, add)


async def _start_signing(
    process: Process, settings: AuthSettings, pool: Pool
) -> tuple[KeyRotation, AccessTokenIssuer]:
    ring = await load_or_create(pool)
    issuer = AccessTokenIssuer(ring.signing, settings.access_token_settings())
    keys = KeyRotation(pool, ring, settings.rotation_settings(), lambda newer: issuer.use(newer.signing))
    process.ops.add_route(JWKS_PATH, _document(lambda: keys.ring.jwks_json()))
    process.spawn(keys.run(), name="signing keys")
    return keys, issuer


def _order_client(process: Process, settings: AuthSettings, issuer: AccessTokenIssuer) -> OrderClient:
    orders = OrderClient(
        settings.order_addresses(),
        lambda lifetime_seconds: issuer.issue_for_service(
            service_id=SYSTEM_ACTOR,
            issued_at_seconds=process.clock.now_micros() // MICROS_PER_SECOND,
            lifetime_seconds=lifetime_seconds,
        ),
    )
    process.on_stop(orders.close)
    return orders


def _mail_sender(process: Process, settings: AuthSettings) -> MailSender:
    smtp = settings.smtp_server()
    if smtp is not None:
        return SmtpSender(smtp)
    log.warning("mails are written to a folder, not sent", folder=str(settings.mail_folder))
    return FolderSender(settings.mail_folder, process.clock)


def _own_jwks_url(process: Process, settings: AuthSettings) -> str:
    """We check our own tokens as everybody else does: by the document we publish."""
    host = settings.ops_host if settings.ops_host not in ("", "0.0.0.0", "::") else "127.0.0.1"
    return f"http://{host}:{process.ops.port}{JWKS_PATH}"


def _document(text: Callable[[], str]) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        headers = {"Cache-Control": f"public, max-age={JWKS_CACHE_SECONDS}"}
        return web.Response(text=text(), content_type="application/json", headers=headers)

    return answer
