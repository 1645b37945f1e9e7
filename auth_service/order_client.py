"""Asking order_service: for points, of whichever process owns the shard of grants; to cancel orders, of all of
them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from predmarket.order.v1 import order_pb2, order_pb2_grpc
from runtime.errors import ApiError
from runtime.grpc_client import call, open_channel

TOKEN_LIFETIME_SECONDS = 60
LIST_SECONDS = 2.0

ServiceToken = Callable[[int], str]
"""Signs a token of role `service` that lives this many seconds."""


class PaymentFailed(Exception):
    """No order_service process paid; asking again later, with the same key, is safe."""


class CancellingFailed(Exception):
    """Not every shard has cancelled; asking again later is safe."""


class OrderClient:
    """PointsService and UserOrdersService, on several addresses."""

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

    async def cancel_orders_of(self, user_id: UUID, *, minimum_version: int, timeout_seconds: float) -> int:
        """How many orders, when no shard has an open order of the user any more. Raises CancellingFailed.

        Tokens of the user below `minimum_version` are refused there from then on.
        """
        request = order_pb2.CancelOrdersOfUserRequest(user_id=str(user_id), minimum_version=minimum_version)
        asked = (self._cancel(address, request, timeout_seconds) for address in self._channels)
        answers = [answer for answer in await asyncio.gather(*asked) if answer is not None]
        done = {shard for answer in answers for shard in answer.shards}
        missing = await self._shards() - done
        if missing:
            raise CancellingFailed(f"no answer for shards {sorted(missing)}")
        return sum(answer.orders_cancelled for answer in answers)

    async def _cancel(
        self, address: str, request: order_pb2.CancelOrdersOfUserRequest, timeout_seconds: float
    ) -> order_pb2.CancelOrdersOfUserResponse | None:
        stub = order_pb2_grpc.UserOrdersServiceStub(self._channels[address])
        try:
            answer: order_pb2.CancelOrdersOfUserResponse = await call(
                stub.CancelOrdersOfUser,
                request,
                deadline_seconds=timeout_seconds,
                authorization=f"Bearer {self._service_token(TOKEN_LIFETIME_SECONDS)}",
            )
        except ApiError:
            return None
        return answer

    async def _shards(self) -> set[int]:
        """All there are. Raises CancellingFailed when nobody says so."""
        for address in tuple(self._preferred):
            stub = order_pb2_grpc.ShardServiceStub(self._channels[address])
            try:
                answer = await call(
                    stub.ListShards, order_pb2.ListShardsRequest(), deadline_seconds=LIST_SECONDS
                )
            except ApiError:
                continue
            return {shard.shard for shard in answer.shards}
        raise CancellingFailed("no order_service process answers")

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
