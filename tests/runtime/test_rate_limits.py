"""The sliding window on a real Redis: never too many in any window, and refused no longer than it says."""

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.embedded import RedisServer
from runtime.rate_limits import ANSWER_SECONDS, SCRIPT, Limit, LimiterAway, RateLimiter, Verdict
from tests.processes import pause
from tests.runtime.rate_hammer import hammer

PROCESSES = 4
CHECKS = 100_000
MINUTE = 60_000_000
CLOCK_LINE = "local time = redis.call('TIME')"


def new_key() -> str:
    return f"test:{uuid.uuid4().hex}"


@pytest.fixture
async def limiter(redis_server: RedisServer) -> AsyncIterator[RateLimiter]:
    limiter = RateLimiter(redis_server.url, answer_seconds=5.0)
    yield limiter
    await limiter.close()


class OwnClock:
    """The script of the product with the one line replaced that asks the server for the time."""

    def __init__(self, url: str) -> None:
        assert CLOCK_LINE in SCRIPT
        own = "local time = {0, tonumber(table.remove(ARGV))}"
        self.redis = redis.Redis.from_url(url)
        self.script = self.redis.register_script(SCRIPT.replace(CLOCK_LINE, own))

    def ask(self, key: str, limit: Limit, cost: int, now_micros: int) -> tuple[bool, int, int]:
        arguments = [limit.count, limit.span, limit.sub_bucket_micros, cost, now_micros]
        admitted, remaining, free_micros = self.script(keys=[key], args=arguments)
        return admitted == 1, remaining, free_micros


LIMITS = st.sampled_from([Limit(1), Limit(5), Limit(30), Limit(120), Limit(121), Limit(300)])
# Steps of a window, of a sub-bucket, and of single microseconds beside them: where off-by-one errors live.
STEPS = st.one_of(
    st.integers(0, 3),
    st.integers(0, 2_000_000),
    st.sampled_from([599_999, 600_000, 600_001, MINUTE - 600_000, MINUTE - 1, MINUTE, MINUTE + 1]),
    st.integers(0, 2 * MINUTE),
)
ASKED = st.lists(st.tuples(STEPS, st.floats(0, 1)), min_size=1, max_size=60)


@given(limit=LIMITS, asked=ASKED, start=st.integers(0, MINUTE))
@settings(max_examples=300)
def test_no_window_holds_more_than_the_limit_and_none_is_refused_for_longer_than_a_part(
    redis_server: RedisServer, limit: Limit, asked: list[tuple[int, float]], start: int
) -> None:
    clock = OwnClock(redis_server.url)
    key = new_key()
    now = 1_800_000_000_000_000 + start
    admitted: list[tuple[int, int]] = []
    for step, share in asked:
        now += step
        cost = max(1, round(share * limit.count))
        ok, remaining, free_micros = clock.ask(key, limit, cost, now)
        counted_surely = sum(each for at, each in admitted if at >= now - MINUTE)
        counted_at_most = sum(
            each for at, each in admitted if at > now - MINUTE - 2 * limit.sub_bucket_micros
        )
        if ok:
            assert counted_surely + cost <= limit.count
            admitted.append((now, cost))
        else:
            assert counted_at_most + cost > limit.count, "refused without a reason"
            assert 0 < free_micros <= MINUTE + limit.sub_bucket_micros
        assert 0 <= remaining <= limit.count
    clock.redis.delete(key)


@given(limit=LIMITS, asked=ASKED)
@settings(deadline=None, max_examples=100)
def test_what_was_refused_is_admitted_at_the_very_moment_it_was_told(
    redis_server: RedisServer, limit: Limit, asked: list[tuple[int, float]]
) -> None:
    clock = OwnClock(redis_server.url)
    key = new_key()
    now = 1_800_000_000_000_000
    for step, share in asked:
        now += step
        cost = max(1, round(share * limit.count))
        ok, _, free_micros = clock.ask(key, limit, cost, now)
        if not ok:
            too_early, _, _ = clock.ask(key, limit, cost, now + free_micros - 1)
            assert not too_early
            now += free_micros
            ok, _, _ = clock.ask(key, limit, cost, now)
            assert ok
    clock.redis.delete(key)


def test_memory_of_a_key_stays_bounded_however_large_its_limit(redis_server: RedisServer) -> None:
    clock = OwnClock(redis_server.url)
    limit, key, now = Limit(1_000_000), new_key(), 1_800_000_000_000_000
    for _ in range(5_000):
        now += 31_415
        assert clock.ask(key, limit, 7, now)[0]
    assert clock.redis.llen(key) <= 103
    assert 0 < clock.redis.pttl(key) <= 61_000


def test_a_clock_that_is_set_back_neither_admits_more_nor_locks_anybody_out(
    redis_server: RedisServer,
) -> None:
    clock = OwnClock(redis_server.url)
    limit, key, now = Limit(2), new_key(), 1_800_000_000_000_000
    assert clock.ask(key, limit, 2, now)[0]
    assert not clock.ask(key, limit, 1, now - MINUTE // 2)[0]
    assert clock.ask(key, limit, 1, now - 10 * MINUTE)[0]


async def test_four_processes_together_admit_not_one_too_many(redis_server: RedisServer) -> None:
    for count in (100, 1_000):
        limit, key = Limit(count, 1), new_key()
        started_at = time.monotonic()
        arguments = (redis_server.url, key, str(count), str(CHECKS // PROCESSES))
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.runtime.rate_hammer", *arguments, stdout=asyncio.subprocess.PIPE
            )
            for _ in range(PROCESSES)
        ]
        outputs = [json.loads((await process.communicate())[0]) for process in processes]
        assert sum(output["made"] for output in outputs) == CHECKS
        admitted = sorted(
            (pair for output in outputs for pair in output["admitted"]), key=lambda pair: pair[1]
        )
        assert len(admitted) >= count
        assert len(admitted) <= count * (time.monotonic() - started_at + 1)
        for number in range(len(admitted) - limit.count):
            window = admitted[number : number + limit.count + 1]
            # Each was admitted somewhere between the two moments, so this never accuses wrongly.
            assert window[-1][1] - min(asked_at for asked_at, _ in window) > limit.window_seconds


async def test_a_full_window_is_used_to_the_last_place(limiter: RateLimiter) -> None:
    limit, key = Limit(30), new_key()
    verdicts = await asyncio.gather(*(limiter.admit(key, limit) for _ in range(100)))
    assert [verdict.admitted for verdict in verdicts] == [True] * 30 + [False] * 70
    assert [verdict.remaining for verdict in verdicts[:30]] == list(range(29, -1, -1))
    refused = verdicts[-1]
    assert refused.remaining == 0
    assert 59 <= refused.retry_after_seconds <= 61  # the last microsecond of the window counts too


async def test_what_a_batch_costs_is_counted_whole_or_not_at_all(limiter: RateLimiter) -> None:
    limit, key = Limit(30), new_key()
    assert (await limiter.admit(key, limit, 20)).remaining == 10
    assert not (await limiter.admit(key, limit, 11)).admitted
    assert (await limiter.admit(key, limit, 10)).remaining == 0


async def test_places_come_back_after_the_window_in_real_time(limiter: RateLimiter) -> None:
    limit, key = Limit(1, 1), new_key()
    assert (await limiter.admit(key, limit)).admitted
    refused = await limiter.admit(key, limit)
    assert not refused.admitted
    await asyncio.sleep(refused.free_seconds + 0.005)
    assert (await limiter.admit(key, limit)).admitted


async def test_many_checks_of_one_tick_are_few_round_trips(redis_server: RedisServer) -> None:
    counting = redis.Redis.from_url(redis_server.url)

    def calls() -> int:
        return int(counting.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])

    before = calls()
    made, _ = await hammer(redis_server.url, new_key(), Limit(10), 1_000)
    assert made == 1_000
    assert calls() - before < 100


@pytest.mark.parametrize("damage", ["stopped", "frozen"])
async def test_without_redis_nobody_waits_longer_than_the_bound(
    private_redis: RedisServer, damage: str
) -> None:
    limiter = RateLimiter(private_redis.url)
    assert (await limiter.admit("a", Limit(5))).admitted
    if damage == "stopped":
        private_redis.stop()
    else:
        pause(private_redis.pid)
    started_at = time.monotonic()
    answers = await asyncio.gather(
        *(limiter.admit("a", Limit(5)) for _ in range(1_000)), return_exceptions=True
    )
    assert all(isinstance(answer, LimiterAway) for answer in answers)
    assert time.monotonic() - started_at < 10 * ANSWER_SECONDS
    if damage == "stopped":
        private_redis.start()
    else:
        os.kill(private_redis.pid, signal.SIGCONT)
    assert (await _back(limiter)).admitted
    await limiter.close()


async def test_a_process_that_was_held_up_itself_does_not_blame_redis(private_redis: RedisServer) -> None:
    answer_seconds = 0.2
    limiter = RateLimiter(private_redis.url, answer_seconds=answer_seconds)
    assert (await limiter.admit("a", Limit(5))).admitted  # connected
    pause(private_redis.pid)
    asking = asyncio.create_task(limiter.admit("a", Limit(5)))
    await asyncio.sleep(answer_seconds / 4)  # the question is there
    os.kill(private_redis.pid, signal.SIGCONT)
    asyncio.get_running_loop().call_soon(time.sleep, 2 * answer_seconds)  # and now the answer, unread
    assert (await asking).admitted
    await limiter.close()


async def _back(limiter: RateLimiter) -> Verdict:
    async with asyncio.timeout(20):
        while True:
            try:
                return await limiter.admit("b", Limit(5))
            except LimiterAway:
                await asyncio.sleep(0.1)
