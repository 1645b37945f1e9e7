"""Which limit holds for whom: buckets, tiers, the settings of both, and what happens while Redis is away.

A bucket counts one kind of work of one caller, over all processes and over REST, gRPC-Web and gRPC alike. Who comes
with an access token is counted by user; with an API key by user too, but apart and by the limits of the key's tier;
without either by address. Cancels have a bucket of their own, so that placing never starves them.

While Redis is away reads go on uncounted; whatever moves points or changes markets is refused with UNAVAILABLE.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, SecretStr

from runtime.errors import ApiError, ErrorCode
from runtime.identity import USER_TIER, Identity
from runtime.logs import get_logger
from runtime.rate_limits import Limit, LimiterAway, RateLimiter, Verdict
from runtime.settings import ServiceSettings

log = get_logger(__name__)

COUNTED_HEADER = "x-predmarket-counted"
"""gRPC metadata of a call that the gateway has counted already; its value is the secret GATEWAY_SECRET."""

RETRY_AFTER_AWAY_MS = 1_000
PerMinute = Annotated[int, Field(ge=1, le=10**9)]


class Bucket(StrEnum):
    """What is counted together."""

    PUBLIC = "public"
    """Reads and account routes."""
    TRADES = "trades"
    """Orders placed or amended, sets minted or merged; a batch counts its items."""
    CANCELS = "cancels"
    ADMIN = "admin"

    @property
    def moves_money(self) -> bool:
        """Refused, rather than not counted, while Redis is away."""
        return self is not Bucket.PUBLIC


class RateSettings(ServiceSettings):
    """Settings of processes that count."""

    redis_url: SecretStr = SecretStr("")
    """Empty: no rate limits (the log says so at the start)."""
    rate_public_per_minute: PerMinute = 100
    rate_trades_per_minute: PerMinute = 30
    rate_cancels_per_minute: PerMinute = 120
    rate_admin_per_minute: PerMinute = 60
    rate_tiers: dict[str, dict[Bucket, PerMinute]] = Field(
        default={"standard": {Bucket.PUBLIC: 600, Bucket.TRADES: 300, Bucket.CANCELS: 1_200}}
    )
    """As JSON: the limits per minute of each tier of API keys, such as {"market-maker": {"trades": 60000}}. What a tier
    does not say, and a tier that is not here, is limited as people are."""
    gateway_secret: SecretStr = SecretStr("")
    """Proves to order_service that a call comes from the gateway, which has counted it. Empty: nobody can prove it."""

    def rate_policy(self) -> "RatePolicy":
        """The limits of these settings."""
        people = {
            Bucket.PUBLIC: self.rate_public_per_minute,
            Bucket.TRADES: self.rate_trades_per_minute,
            Bucket.CANCELS: self.rate_cancels_per_minute,
            Bucket.ADMIN: self.rate_admin_per_minute,
        }
        tiers = {USER_TIER: people, **{name: {**people, **own} for name, own in self.rate_tiers.items()}}
        return RatePolicy(
            {
                tier: {bucket: Limit(count) for bucket, count in limits.items()}
                for tier, limits in tiers.items()
            }
        )


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """Limits by tier and bucket; the tier `user` is everybody's without one."""

    tiers: Mapping[str, Mapping[Bucket, Limit]]

    def limit(self, bucket: Bucket, tier: str) -> Limit:
        return self.tiers.get(tier, self.tiers[USER_TIER])[bucket]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose work is counted."""

    name: str
    tier: str = USER_TIER

    @staticmethod
    def of(identity: Identity) -> "Caller":
        return Caller(identity.user_id, identity.tier)

    @staticmethod
    def at(address: str) -> "Caller":
        """Nobody known, at this network address."""
        return Caller(address)


@dataclass(frozen=True, slots=True)
class RateGate:
    """Counts work. `limiter` None: admits everything."""

    policy: RatePolicy
    limiter: RateLimiter | None = field(default=None)

    async def count(
        self, bucket: Bucket, caller: Caller, cost: int = 1, *, is_read: bool = False
    ) -> Verdict | None:
        """The verdict, admitted or not; None when nobody counts: no Redis is set, or it is away and this is a read, as
        whatever counts as `public` is.

        Raises UNAVAILABLE for money while Redis is away, and INVALID_ARGUMENT for more than could ever be admitted.
        """
        if self.limiter is None:
            return None
        limit = self.policy.limit(bucket, caller.tier)
        if cost > limit.count:
            raise ApiError(
                ErrorCode.INVALID_ARGUMENT,
                f"One request may hold at most {limit.count} items under your rate limit.",
                items_max=limit.count,
            )
        try:
            return await self.limiter.admit(f"{bucket}:{caller.tier}:{caller.name}", limit, cost)
        except LimiterAway:
            if bucket.moves_money and not is_read:
                message = "Rate limits cannot be checked just now, so nothing was done: try again."
                raise ApiError(ErrorCode.UNAVAILABLE, message, retry_after_ms=RETRY_AFTER_AWAY_MS) from None
            return None

    async def require(self, bucket: Bucket, caller: Caller, cost: int = 1, *, is_read: bool = False) -> None:
        """As `count`; raises RATE_LIMITED too."""
        verdict = await self.count(bucket, caller, cost, is_read=is_read)
        if verdict is not None and not verdict.admitted:
            raise ApiError(ErrorCode.RATE_LIMITED, **refusal_details(bucket, verdict))

    async def close(self) -> None:
        if self.limiter is not None:
            await self.limiter.close()


def make_gate(settings: RateSettings) -> RateGate:
    """The gate of these settings."""
    url = settings.redis_url.get_secret_value()
    if not url:
        log.warning("REDIS_URL is not set: there are no rate limits")
    return RateGate(settings.rate_policy(), RateLimiter(url) if url else None)


def refusal_details(bucket: Bucket, verdict: Verdict) -> dict[str, Any]:
    """What a RATE_LIMITED tells beside its text."""
    return {
        "bucket": str(bucket),
        "limit": verdict.limit.count,
        "window_seconds": verdict.limit.window_seconds,
        "retry_after_ms": verdict.retry_after_seconds * 1_000,
    }


def counted_metadata(settings: RateSettings) -> Sequence[tuple[str, str]]:
    """What the gateway adds to its calls."""
    secret = settings.gateway_secret.get_secret_value()
    return ((COUNTED_HEADER, secret),) if secret else ()


def is_counted(context: Any, secret: str) -> bool:
    """Whether a gRPC call proves to come from the gateway, which has counted it."""
    if not secret:
        return False
    given = [value for key, value in context.invocation_metadata() if key == COUNTED_HEADER]
    return len(given) == 1 and hmac.compare_digest(str(given[0]).encode(), secret.encode())
