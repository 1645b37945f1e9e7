"""Where the caller is logged in."""

import msgspec

from predmarket_client.areas.accounts import SessionsEnded
from predmarket_client.caller import Caller
from predmarket_client.shapes.accounts import OpenSession


class _Sessions(msgspec.Struct, frozen=True):
    items: tuple[OpenSession, ...]


class Sessions:
    """`client.sessions`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self) -> tuple[OpenSession, ...]:
        """The one used last first, at most 50."""
        return (await self._caller.get("/v1/sessions", _Sessions)).items

    async def end(self, session_id: str) -> None:
        """Its tokens are refused everywhere within seconds."""
        await self._caller.write("DELETE", f"/v1/sessions/{session_id}", type(None))

    async def end_others(self) -> int:
        """All but the caller's own; how many they were."""
        return (await self._caller.write("DELETE", "/v1/sessions", SessionsEnded)).sessions_ended

    async def end_all(self) -> int:
        """The caller's own too; how many they were."""
        query = {"current_too": True}
        return (await self._caller.write("DELETE", "/v1/sessions", SessionsEnded, query=query)).sessions_ended
