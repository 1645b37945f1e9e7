"""Who calls, and what role and credential allow. API keys trade and read; markets are run by people who logged in."""

from __future__ import annotations

from typing import Any

from runtime.tokens import READ, TRADE, Identity, TokenVerifier

TRADERS = ("user", "admin")


def may_trade(identity: Identity) -> None:
    """Raises FORBIDDEN."""
    identity.require(*TRADERS)
    identity.require_scope(TRADE)


async def trader(verifier: TokenVerifier, context: Any) -> Identity:
    identity = await verifier.caller(context)
    may_trade(identity)
    return identity


async def reader(verifier: TokenVerifier, context: Any) -> Identity:
    """For reads of one's own orders."""
    identity = await verifier.caller(context)
    identity.require(*TRADERS)
    identity.require_scope(READ)
    return identity


async def admin(verifier: TokenVerifier, context: Any) -> Identity:
    identity = await verifier.caller(context)
    identity.require("admin")
    identity.require_person()
    return identity


async def is_admin(verifier: TokenVerifier, context: Any) -> bool:
    """For public reads: anonymous is fine, a bad token is not. An API key sees what the public sees."""
    if not any(key == "authorization" for key, _ in context.invocation_metadata()):
        return False
    return sees_hidden(await verifier.caller(context))


def sees_hidden(caller: Identity) -> bool:
    """Whether markets exist for this caller that do not for the public: DRAFTs and withdrawn ones."""
    return caller.role == "admin" and not caller.is_api_key
