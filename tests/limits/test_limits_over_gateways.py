"""Some hundred requests at two gateway processes with one Redis. `make limits` asks four, and for several minutes."""

from typing import Any

from launcher.embedded import RedisServer
from runtime.rate_limits import Limit
from tests.limits.campaign import gateways, throw_all
from tests.limits.windows import Admission, most_in_a_window

COUNT = 2_500
SEED = "1"


async def test_gateways_together_admit_not_one_too_many_and_not_one_too_few(
    fresh_database: Any, nats_server: Any, private_redis: RedisServer
) -> None:
    print("seed", SEED)
    async with gateways(fresh_database, nats_server.url, private_redis.url, 2) as (suite, urls):
        findings = await throw_all(suite, urls, COUNT, SEED)
    assert findings.broken() == []
    counted = set(findings.admitted) | set(findings.refused)
    assert len(counted) == 34
    full = [each for each in counted if findings.refused[each]]
    assert len(full) >= 10, "most were never asked for too much"
    for name, tier, bucket in full:
        most, limit = findings.most(name, tier, bucket)
        # A batch that no longer fits is refused whole, and leaves up to two places.
        assert limit - 2 <= most <= limit, (name, bucket)


def test_windows_are_found_wherever_they_begin() -> None:
    limit = Limit(2, 60)
    at = [Admission(moment, moment + 1) for moment in (0.0, 30.0, 59.5, 60.0, 61.0)]
    assert most_in_a_window(at[:2], limit) == 2
    assert most_in_a_window([at[0], at[1], at[2]], limit) == 2, "60.5 s apart, perhaps"
    assert most_in_a_window(at[1:], limit) == 4
    assert most_in_a_window([Admission(0.0, 1.0, cost=3)], limit) == 3
