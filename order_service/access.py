"""Who calls, and what his role may do."""

from __future__ import annotations

from typing import Any

from runtime.tokens import Identity, TokenVerifier

TRADERS = ("user", "admin")


async def trader(verifier: TokenVerifier, context: Any) -> Identity:
    identity = await verifier.caller(context)
    identity.require(*TRADERS)
    return identity


async def admin(verifier: TokenVerifier, context: Any) -> Identity:
    identity = await verifier.caller(context)
    identity.require("admin")
    return identity


async def is_admin(verifier: TokenVerifier, context: Any) -> bool:
    """For public reads: anonymous is fine, a bad token is not."""
    if not any(key == "authorization" for key, _ in context.invocation_metadata()):
        return False
    return (await verifier.caller(context)).role == "admin"
