"""Asking order_service for points: whichever of its processes owns the shard of grants answers."""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError
from runtime.grpc_client import call, open_channel

TOKEN_LIFETIME_SECONDS = 60

ServiceToken = Callable[[int], str]
"""Signs a token of role `service` that lives this many seconds."""


class PaymentFailed(Exception):
    """No order_service process paid; asking again later, with the same key, is safe."""


class OrderClient:
    """PointsService, on whichever of several addresses owns it just now."""

    def __init__(self, addresses: Sequence[str], service_token: ServiceToken) -> None:
        self._channels = {address: open_channel(address) for address in addresses}
        self._preferred = list(self._channels)
        self._service_token = service_token

    async def close(self) -> None:
        """Closes every channel."""
        for channel in self._channels.values():
            await channel.close()

    async def pay(
        self,
        *,
        idempotency_key: str,
        user_id: UUID,
        amount_micros: int,
        is_genesis: bool,
        timeout_seconds: float,
    ) -> None:
        """Returns when the points are durably the user's. Raises PaymentFailed when nobody said so."""
        request = order_pb2.GrantPointsRequest(
            idempotency_key=idempotency_key,
            user_id=str(user_id),
            kind="GENESIS" if is_genesis else "SIGNUP",
            amount_micros=amount_micros,
            reason="first funding of the treasury" if is_genesis else "sign-up grant",
        )
        deadline = time.monotonic() + timeout_seconds
        refusals: list[str] = []
        for asked, address in enumerate(tuple(self._preferred)):
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0:
                break
            try:
                # An even share of what is left, so that one that hangs does not use up the others' time.
                await self._ask(address, request, remaining_seconds / (len(self._channels) - asked))
            except ApiError as error:
                # Whatever the reason (not the owner, away, overloaded): the key makes asking another safe.
                refusals.append(f"{address}: {error}")
            else:
                self._prefer(address)
                return
        raise PaymentFailed("; ".join(refusals) or "no time was left")

    async def _ask(self, address: str, request: order_pb2.GrantPointsRequest, timeout_seconds: float) -> None:
        stub = order_pb2_grpc.PointsServiceStub(self._channels[address])
        token = self._service_token(TOKEN_LIFETIME_SECONDS)
        await call(
            stub.GrantPoints, request, deadline_seconds=timeout_seconds, authorization=f"Bearer {token}"
        )

    def _prefer(self, address: str) -> None:
        """The one that paid is asked first next time."""
        self._preferred.remove(address)
        self._preferred.insert(0, address)
