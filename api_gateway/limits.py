"""Rate limits of REST: whose request counts, and the headers that tell how much is left.

Who came with a credential is counted by user, others by address; of IPv6 the network counts, because a household has
2^64 addresses. The headers are those of the IETF draft on RateLimit fields: `RateLimit-Policy: "trades";q=30;w=60` and
`RateLimit: "trades";r=29;t=12` (r: what is left, t: seconds until it is more).
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from api_gateway import routing
from api_gateway.routing import Call, Refused, Route
from runtime.errors import ErrorCode
from runtime.rate_limits import Limit, Verdict
from runtime.rate_policy import Bucket, Caller, RateGate, refusal_details
from runtime.tokens import Identity

NETWORK_BITS: Final = 64
_BUCKETS: Final = {
    bucket: Bucket(bucket.value) for bucket in routing.Bucket if bucket is not routing.Bucket.NONE
}


class GatewayLimits:
    """As `routing.Limits` asks for it."""

    def __init__(self, gate: RateGate) -> None:
        self._gate = gate

    async def admit(self, call: Call, route: Route) -> Mapping[str, str]:
        """Raises RATE_LIMITED; UNAVAILABLE for money while Redis is away."""
        if route.bucket is routing.Bucket.NONE:
            return {}
        bucket = _BUCKETS[route.bucket]
        verdict = await self._gate.count(
            bucket,
            caller_of(call.identity, call.client_address),
            route.cost(call),
            is_read=not route.writes,
        )
        if verdict is None:
            return {}
        headers = _headers(bucket, verdict)
        if not verdict.admitted:
            raise Refused(ErrorCode.RATE_LIMITED, headers, **refusal_details(bucket, verdict))
        return headers


def caller_of(identity: Identity | None, client_address: str) -> Caller:
    """Whose work a request is."""
    return Caller.at(_network(client_address)) if identity is None else Caller.of(identity)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, NETWORK_BITS), strict=False))
    return str(parsed)


def _headers(bucket: Bucket, verdict: Verdict) -> dict[str, str]:
    return {
        "RateLimit-Policy": _policy(bucket, verdict.limit),
        "RateLimit": f'"{bucket}";r={verdict.remaining};t={verdict.retry_after_seconds}',
    }


@lru_cache(maxsize=1_024)
def _policy(bucket: Bucket, limit: Limit) -> str:
    return f'"{bucket}";q={limit.count};w={limit.window_seconds}'
