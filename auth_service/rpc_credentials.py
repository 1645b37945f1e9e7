"""CredentialService on gRPC, and the same answers within this process."""

from typing import Any

from auth_service import api_keys, messages, token_changes
from auth_service.api_keys import KeyOwner
from auth_service.database import Pool, borrowed
from auth_service.messages import refusals
from predmarket.auth.v1 import auth_pb2, auth_pb2_grpc
from runtime.credentials import TokenChanges
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity
from runtime.surprises import as_api_error

Context = Any  # grpc.aio.ServicerContext of whatever messages


class Credentials:
    """Reads them from Postgres; for this process' own verifier it is the authority
    (runtime.credentials.Authority)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def owner(self, api_key: str) -> KeyOwner:
        """Raises UNAUTHENTICATED."""
        async with borrowed(self._pool) as connection:
            owner = await api_keys.check(connection, api_key)
        if owner is None:
            raise ApiError(ErrorCode.UNAUTHENTICATED)
        return owner

    async def api_key(self, api_key: str) -> Identity:
        try:
            return (await self.owner(api_key)).identity()
        except Exception as error:  # Postgres away, say: ApiError is what a verifier understands
            raise as_api_error(error) from None

    async def token_changes(self, cursor: str) -> TokenChanges:
        try:
            with refusals():
                return await self.changes(cursor)
        except Exception as error:  # as above
            raise as_api_error(error) from None

    async def changes(self, cursor: str) -> TokenChanges:
        """Raises BadField."""
        async with borrowed(self._pool) as connection:
            return await token_changes.list_since(connection, cursor)


class CredentialServicer(auth_pb2_grpc.CredentialServiceServicer):
    """The RPCs of auth.proto, whose comments are their documentation."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def CheckApiKey(
        self, request: auth_pb2.CheckApiKeyRequest, context: Context
    ) -> auth_pb2.CheckApiKeyResponse:
        return messages.key_owner(await self._credentials.owner(request.api_key))

    async def ListTokenChanges(
        self, request: auth_pb2.ListTokenChangesRequest, context: Context
    ) -> auth_pb2.ListTokenChangesResponse:
        with refusals():
            page = await self._credentials.changes(request.cursor)
        return auth_pb2.ListTokenChangesResponse(
            changes=[messages.token_change(change) for change in page.changes],
            next_cursor=page.next_cursor,
            more=page.is_more,
        )
