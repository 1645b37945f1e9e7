"""Who calls an RPC, and whether the credential in hand is one for it."""

from typing import Any, Final

from runtime.identity import READ, Identity
from runtime.tokens import TokenVerifier

PEOPLE: Final = ("user", "analyst", "admin")
"""Roles that belong to somebody who logged in."""


class Callers:
    """Every check is made from the call's metadata."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def reader(self, context: Any) -> Identity:
        """A person, or an API key that may read."""
        caller = await self._verifier.caller(context)
        caller.require(*PEOPLE)
        caller.require_scope(READ)
        return caller

    async def person(self, context: Any) -> Identity:
        """Somebody who logged in: accounts are managed by nobody else."""
        caller = await self._verifier.caller(context)
        caller.require(*PEOPLE)
        caller.require_person()
        return caller

    async def admin(self, context: Any) -> Identity:
        """An administrator who logged in."""
        caller = await self._verifier.caller(context)
        caller.require("admin")
        caller.require_person()
        return caller
