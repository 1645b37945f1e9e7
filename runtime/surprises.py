"""What an exception nobody expected means to the caller: something we need is away, or a defect of ours."""

import asyncio

import asyncpg
import grpc
import nats.errors
import redis.exceptions

from runtime.errors import ApiError, ErrorCode, from_rpc_error
from runtime.logs import get_logger
from runtime.tracing import current_trace_id

log = get_logger(__name__)

AWAY: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server ended the connection while our loop stood still
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.ReadOnlySQLTransactionError,  # a stand-by that is not yet the primary
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization: nothing was done
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncio.TimeoutError,
    ConnectionError,
    OSError,
    nats.errors.Error,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
)


def as_api_error(error: BaseException) -> ApiError:
    """An ApiError is itself. Lost connections are UNAVAILABLE. All else is INTERNAL, logged here with its stack."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc_error(error)
    if isinstance(error, AWAY):
        log.warning("something needed is away", error=f"{type(error).__name__}: {error}")
        return ApiError(ErrorCode.UNAVAILABLE)
    log.error("unexpected error", exc_info=error)
    return ApiError(ErrorCode.INTERNAL, "internal error", trace_id=current_trace_id())
