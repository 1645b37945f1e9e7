"""Keys for bots, made and ended by a person: an API key cannot manage keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from predmarket_client.caller import Caller
from predmarket_client.shapes.accounts import ApiKey, NewApiKey, Scope


class _Keys(msgspec.Struct, frozen=True):
    items: tuple[ApiKey, ...]


class ApiKeys:
    """`client.api_keys`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self) -> tuple[ApiKey, ...]:
        """Newest first, at most 20."""
        return (await self._caller.get("/v1/api-keys", _Keys)).items

    async def create(
        self,
        name: str,
        *,
        scopes: Sequence[Scope] = ("read", "trade"),
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> NewApiKey:
        """A key, told once. `read` sees your own data, `trade` places and cancels. Without `expires_at`: for ever."""
        body: dict[str, Any] = {"name": name, "scopes": scopes}
        if expires_at is not None:
            body["expires_at"] = expires_at
        return await self._caller.write(
            "POST", "/v1/api-keys", NewApiKey, body=body, idempotency_key=idempotency_key
        )

    async def revoke(self, api_key_id: str) -> None:
        """It is refused everywhere within seconds."""
        await self._caller.write("DELETE", f"/v1/api-keys/{api_key_id}", type(None))
