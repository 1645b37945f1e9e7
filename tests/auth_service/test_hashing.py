"""argon2id in a bounded executor."""

import asyncio
import time
from collections.abc import Callable, Iterator
from statistics import median

import pytest
from argon2 import PasswordHasher

from auth_service.hashing import BoundedHasher, HashingLimits, HashingQueueFull

CHEAP = HashingLimits(time_cost=1, memory_kib=64, workers=1, queue_max=4)
SLOW = HashingLimits(time_cost=4, memory_kib=32_768, workers=1, queue_max=2)

MakeHasher = Callable[[HashingLimits], BoundedHasher]


@pytest.fixture
def make_hasher() -> Iterator[MakeHasher]:
    made: list[BoundedHasher] = []

    def make(limits: HashingLimits) -> BoundedHasher:
        made.append(BoundedHasher(limits))
        return made[-1]

    yield make
    for hasher in made:
        hasher.close()


async def test_a_hash_is_argon2id_with_our_parameters_and_a_salt_of_its_own(make_hasher: MakeHasher) -> None:
    hasher = make_hasher(CHEAP)
    first, second = await hasher.hash("kV7#qLm2w"), await hasher.hash("kV7#qLm2w")
    assert first.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert first != second


async def test_the_defaults_cost_what_rfc_9106_asks_for() -> None:
    limits = HashingLimits()
    assert (limits.time_cost, limits.memory_kib) == (3, 65_536)


async def test_only_the_right_password_verifies(make_hasher: MakeHasher) -> None:
    hasher = make_hasher(CHEAP)
    stored = await hasher.hash("kV7#qLm2w")
    assert (await hasher.verify(stored, "kV7#qLm2w")).is_right
    assert not (await hasher.verify(stored, "kV7#qLm2W")).is_right
    assert not (await hasher.verify(None, "kV7#qLm2w")).is_right
    assert not (await hasher.verify("not a hash", "kV7#qLm2w")).is_right


async def test_other_parameters_lead_to_a_new_hash_but_only_for_the_right_password(
    make_hasher: MakeHasher,
) -> None:
    hasher = make_hasher(CHEAP)
    old = PasswordHasher(time_cost=2, memory_cost=32, parallelism=1).hash("kV7#qLm2w")
    assert (await hasher.verify(old, "wrong")).new_hash is None
    verdict = await hasher.verify(old, "kV7#qLm2w")
    assert verdict.new_hash is not None
    assert verdict.new_hash.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert (await hasher.verify(verdict.new_hash, "kV7#qLm2w")).new_hash is None


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(make_hasher: MakeHasher) -> None:
    hasher = make_hasher(SLOW)
    running = [asyncio.create_task(hasher.hash(f"password {number}")) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(HashingQueueFull) as refused:
        await hasher.hash("one too many")
    assert not all(task.done() for task in running)
    assert refused.value.retry_after_ms >= 1_000
    assert len(set(await asyncio.gather(*running))) == 3
    assert hasher.pending == 0
    await hasher.hash("there is room again")


async def test_a_caller_that_went_away_frees_its_place(make_hasher: MakeHasher) -> None:
    hasher = make_hasher(SLOW)
    running = [asyncio.create_task(hasher.hash(f"password {number}")) for number in range(3)]
    await asyncio.sleep(0)
    running[-1].cancel()
    await asyncio.sleep(0)
    await hasher.hash("in its place")
    results = await asyncio.gather(*running, return_exceptions=True)
    assert isinstance(results[-1], asyncio.CancelledError)
    assert hasher.pending == 0


async def test_the_loop_runs_on_while_hashing(make_hasher: MakeHasher) -> None:
    hasher = make_hasher(SLOW)
    hashing = asyncio.create_task(hasher.hash("kV7#qLm2w"))
    ticks = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks >= 5


async def test_nobodys_password_takes_as_long_as_somebodys(make_hasher: MakeHasher) -> None:
    hasher = make_hasher(SLOW)
    stored = await hasher.hash("kV7#qLm2w")

    async def seconds(stored_hash: str | None) -> float:
        began = time.perf_counter()
        await hasher.verify(stored_hash, "wrong password")
        return time.perf_counter() - began

    known, unknown = [], []
    for _ in range(7):
        known.append(await seconds(stored))
        unknown.append(await seconds(None))
    assert 0.5 < median(known) / median(unknown) < 2.0


async def test_the_time_to_come_back_grows_with_what_a_hash_takes(make_hasher: MakeHasher) -> None:
    async def retry_after_ms(hasher: BoundedHasher) -> int:
        waiting = [asyncio.create_task(hasher.hash("kV7#qLm2w")) for _ in range(41)]
        await asyncio.sleep(0)
        try:
            with pytest.raises(HashingQueueFull) as full:
                hasher.check_room()
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return full.value.retry_after_ms

    limits = HashingLimits(time_cost=8, memory_kib=65_536, workers=1, queue_max=40, queue_seconds=1_000)
    hasher = make_hasher(limits)
    began = time.perf_counter()
    for _ in range(8):
        await hasher.hash("kV7#qLm2w")
    expected_ms = 20 * 1_000 * (time.perf_counter() - began) / 8
    assert 0.4 < await retry_after_ms(hasher) / max(1_000, expected_ms) < 2.5


async def test_nobody_waits_for_longer_than_is_allowed_however_long_the_queue_may_be(
    make_hasher: MakeHasher,
) -> None:
    limits = HashingLimits(time_cost=4, memory_kib=65_536, workers=1, queue_max=1_000, queue_seconds=0.5)
    hasher = make_hasher(limits)
    began = time.perf_counter()
    outcomes = await asyncio.gather(
        *(hasher.hash(f"password {number}") for number in range(60)), return_exceptions=True
    )
    assert time.perf_counter() - began < 10 * limits.queue_seconds
    assert isinstance(outcomes[0], str)
    assert sum(isinstance(outcome, HashingQueueFull) for outcome in outcomes) >= 40
