"""SubmitCommands and Trade: many commands, each answered on its own at its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from order_service import parse
from order_service.access import may_trade
from order_service.limits import CallerLimits, bucket_of
from order_service.routing import Router, Submitted
from order_service.rpc_orders import Orders, OrderServicer, quote_of
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from runtime.rate_policy import Caller
from runtime.surprises import as_api_error
from runtime.tokens import Identity, TokenVerifier, is_api_key

COMMANDS_MAX = 500


class BatchServicer(OrderServicer):
    """All of OrderService."""

    def __init__(self, router: Router, verifier: TokenVerifier, limits: CallerLimits, window: int) -> None:
        super().__init__(router, verifier, limits)
        self._batch = _Batch(Orders(router), verifier, limits)
        self._window = window

    async def SubmitCommands(
        self, request: order_pb2.SubmitCommandsRequest, context: Any
    ) -> order_pb2.SubmitCommandsResponse:
        caller = await self._verifier.caller(context)
        if not 1 <= len(request.commands) <= COMMANDS_MAX:
            raise parse.bad_field("commands", f"must be 1..{COMMANDS_MAX}")
        key = parse.a_key(request.idempotency_key)
        await self._batch.look_up(request.commands)
        refused = await self._batch.refused(request.commands, caller, context)
        submitted = [
            refused.get(index) or await self._batch.submit(command, caller, f"{key}:{index}" if key else "")
            for index, command in enumerate(request.commands)
        ]
        # One after the other, without a task each: most are answered by the same commit.
        results = [await self._batch.result(each) for each in submitted]
        return order_pb2.SubmitCommandsResponse(results=results)

    async def Trade(
        self, requests: AsyncIterator[order_pb2.TradeRequest], context: Any
    ) -> AsyncIterator[order_pb2.TradeResponse]:
        """Answers in order; a full window stops the reading."""
        await self._verifier.caller(context)
        waiting: asyncio.Queue[tuple[int, Submitted | ApiError] | None] = asyncio.Queue(self._window)

        is_over = False

        async def read() -> None:
            try:
                async for request in requests:
                    submitted = await self._batch.submit_as_caller(request.command, context)
                    await waiting.put((request.request_id, submitted))
            finally:
                if not is_over:  # else nobody takes from the queue, which may be full
                    await waiting.put(None)

        reader = asyncio.create_task(read(), name="trade reader")
        try:
            while (item := await waiting.get()) is not None:
                request_id, submitted = item
                result = await self._batch.result(submitted)
                yield order_pb2.TradeResponse(request_id=request_id, result=result)
            await reader
        finally:
            is_over = True
            reader.cancel()


class _Batch:
    """One item: who asks, into the inbox, out again."""

    def __init__(self, orders: Orders, verifier: TokenVerifier, limits: CallerLimits) -> None:
        self._orders = orders
        self._verifier = verifier
        self._limits = limits

    async def look_up(self, commands: Sequence[order_pb2.OrderCommand]) -> None:
        """Makes the items' API keys known, all at once, so that none waits for another's to be asked about."""
        tokens = {command.access_token for command in commands}
        asked = (self._verifier.identity(f"Bearer {token}") for token in tokens if is_api_key(token))
        await asyncio.gather(*asked, return_exceptions=True)

    async def submit_as_caller(self, command: order_pb2.OrderCommand, context: Any) -> Submitted | ApiError:
        """Of a stream: it may outlive its caller's token, so who calls is looked at for every command."""
        try:
            caller = await self._verifier.caller(context)
        except ApiError as error:
            return error
        refused = await self.refused([command], caller, context)
        return refused.get(0) or await self.submit(command, caller, "")

    async def refused(
        self, commands: Sequence[order_pb2.OrderCommand], caller: Identity, context: Any
    ) -> Mapping[int, ApiError]:
        """Which items go beyond somebody's rate limit; each counts for whom it is done."""
        if self._limits.is_exempt(context, caller):
            return {}
        works = {}
        for index, command in enumerate(commands):
            try:
                works[index] = (Caller.of(await self._identity(command, caller)), bucket_of(command))
            except ApiError:
                continue  # of nobody we know; `submit` refuses it
        refusals = await self._limits.refusals(list(works.values()))
        return {index: refusals[work] for index, work in works.items() if work in refusals}

    async def submit(
        self, command: order_pb2.OrderCommand, caller: Identity, key: str
    ) -> Submitted | ApiError:
        """In the inbox, or why not."""
        try:
            identity = await self._identity(command, caller)
            may_trade(identity)
            which = command.WhichOneof("command")
            if which == "place":
                own = parse.a_key(command.place.idempotency_key)
                return await self._orders.place(command.place, identity.user_id, own or key)
            if which == "amend":
                own = parse.a_key(command.amend.idempotency_key)
                return await self._orders.amend(command.amend, identity.user_id, own or key)
            if which == "cancel":
                own = parse.a_key(command.cancel.idempotency_key)
                return await self._orders.cancel(command.cancel, identity.user_id, own or key)
            return ApiError(ErrorCode.INVALID_ARGUMENT, "a command says what to do: place, amend or cancel")
        except Exception as error:  # one bad item refuses itself only
            return as_api_error(error)

    async def _identity(self, command: order_pb2.OrderCommand, caller: Identity) -> Identity:
        if not command.access_token:
            return caller
        return await self._verifier.identity(f"Bearer {command.access_token}")

    async def result(self, submitted: Submitted | ApiError) -> order_pb2.CommandResult:
        """Its answer, once durable."""
        if isinstance(submitted, ApiError):
            return _refused(submitted)
        try:
            order, done = await self._orders.order_answer(submitted)
        except Exception as error:  # as above
            return _refused(as_api_error(error))
        return order_pb2.CommandResult(order=order, replayed=done.replayed, quote=quote_of(done, order))


def _refused(error: ApiError) -> order_pb2.CommandResult:
    return order_pb2.CommandResult(
        error=order_pb2.CommandError(
            code=str(error.code), message=error.message, metadata=dict(error.details)
        )
    )
