"""Who asks for how much: people, API keys, network addresses, an administrator; and what each of them sends."""

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.identity import USER_TIER
from runtime.rate_policy import Bucket
from tests.api_gateway.support import POINT, Suite, User, open_market

PEOPLE, KEYS, ADDRESSES = 6, 3, 6
BATCH = 3
KEY_TIER = "standard"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; by gRPC instead of REST where there is no path."""

    bucket: Bucket
    cost: int
    method: str = ""
    path: str = ""
    body: Any = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Counted by itself."""

    name: str
    tier: str
    headers: Mapping[str, str]
    buckets: Sequence[Bucket]


async def make_callers(suite: Suite) -> tuple[list[Caller], str]:
    """All of them, and a market for their orders."""
    admin = await suite.admin()
    market_id = await open_market(admin)
    traders = (Bucket.PUBLIC, Bucket.TRADES, Bucket.CANCELS)
    people = [await suite.user(f"person-{number}") for number in range(PEOPLE)]
    keys = [await _api_key(await suite.user(f"bot-{number}")) for number in range(KEYS)]
    return [
        *(Caller(each.email, USER_TIER, _bearer(each.token), traders) for each in people),
        *(Caller(f"key {key[:12]}", KEY_TIER, _bearer(key), traders) for key in keys),
        *(
            Caller(
                f"address {number}", USER_TIER, {"X-Forwarded-For": f"198.51.100.{number}"}, (Bucket.PUBLIC,)
            )
            for number in range(ADDRESSES)
        ),
        Caller("administrator", USER_TIER, _bearer(admin.token), (Bucket.ADMIN,)),
    ], market_id


def ask_for(bucket: Bucket, market_id: str, chance: random.Random) -> Asked:
    """Something that counts there. What becomes of it once it is admitted does not matter."""
    if bucket is Bucket.PUBLIC:
        return Asked(bucket, 1, "GET", f"/v1/markets/{uuid.uuid4()}")
    if bucket is Bucket.ADMIN:
        return Asked(bucket, 1, "GET", "/v1/admin/users?limit=1")
    if bucket is Bucket.CANCELS:
        is_rest = chance.random() < 0.8
        return Asked(bucket, 1, "DELETE", f"/v1/orders/{uuid.uuid4()}") if is_rest else Asked(bucket, 1)
    order = {
        "market_id": market_id,
        "side": "BUY",
        "outcome": "YES",
        "type": "LIMIT",
        "time_in_force": "GTC",
        "price_micros": 10_000,
        "quantity_micros": POINT,
    }
    if chance.random() < 0.2:
        return Asked(bucket, BATCH, "POST", "/v1/orders/batch", {"orders": [order] * BATCH})
    return Asked(bucket, 1, "POST", "/v1/orders", order)


async def _api_key(user: User) -> str:
    key: str = (await user.post("/v1/api-keys", {"name": "bot", "scopes": ["read", "trade"]}))["api_key"]
    return key


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
