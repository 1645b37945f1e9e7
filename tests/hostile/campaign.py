"""Throws inputs at all doors and judges the replies: no internal error, no exception's text, an answer for each."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from tests.api_gateway.support import POINT, Suite, User, open_market
from tests.hostile.doors import DOORS, Door, Reply, Target

WORKERS_PER_DOOR = 4
MARKET_SECONDS = 2.0
GIVE_UP_AFTER = 20
"""Inputs in a row that no handler answered: then the door is shut, which is a finding."""

FORBIDDEN = re.compile(
    r"Traceback|Exception|Error\b.*:|File \"|asyncpg|pydantic|0x7f|\.py\b|SELECT |INSERT |Errno|grpc\.aio|<object"
)


@dataclass(slots=True)
class Findings:
    """What came back. `thrown` counts everything, `answered` what a handler answered and `turned_away` what none saw,
    by door and code."""

    thrown: Counter[str] = field(default_factory=Counter)
    answered: dict[str, Counter[str]] = field(default_factory=dict)
    turned_away: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(sum(codes.values()) for codes in self.answered.values())


async def prepare(suite: Suite) -> Target:
    """A market, a user and an administrator, and a bystander."""
    admin = await suite.admin()
    user, bystander = await suite.user("hostile"), await suite.user("bystander")
    tokens = (user.token, user.token, user.token, admin.token)
    return Target(suite, tokens, bystander.token, (await open_market(admin), bystander.user_id))


async def throw_all(
    target: Target, count: int, seed: str, on_answer: Callable[[], None] = lambda: None
) -> Findings:
    """Until each door has answered its share of `count`."""
    findings = Findings()
    share = -(-count // (len(DOORS) * WORKERS_PER_DOOR))
    opening = asyncio.create_task(_keep_a_market_open(target))
    await asyncio.gather(
        *(
            _worker(make(target), share, random.Random(f"{seed}:{make.name}:{number}"), findings, on_answer)
            for make in DOORS
            for number in range(WORKERS_PER_DOOR)
        )
    )
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    return findings


async def _keep_a_market_open(target: Target) -> None:
    """The administrator among the throwers may pause, resolve or cancel any: a new one takes its place."""
    admin = User(target.suite.http, target.suite.url, token=target.tokens[-1])
    while True:
        await asyncio.sleep(MARKET_SECONDS)
        target.ids = (await open_market(admin, liquidity_micros=10 * POINT), *target.ids[1:])


async def _worker(
    door: Door, share: int, chance: random.Random, findings: Findings, on_answer: Callable[[], None]
) -> None:
    codes = findings.answered.setdefault(door.name, Counter())
    turned_away = findings.turned_away.setdefault(door.name, Counter())
    answered = silent = 0
    while answered < share and silent < GIVE_UP_AFTER:
        findings.thrown[door.name] += 1
        try:
            reply = await door.throw(chance)
        except (TimeoutError, aiohttp.ClientError) as error:
            findings.bad.append(f"{door.name}: left without an answer ({type(error).__name__})")
            reply = Reply("")
        if not reply.code:
            silent += 1
            _judge(door, reply, findings)
            continue
        silent = 0
        _judge(door, reply, findings)
        if reply.code in door.turned_away:
            turned_away[reply.code] += 1
            continue
        answered += 1
        codes[reply.code] += 1
        on_answer()
    if answered < share:
        findings.bad.append(f"{door.name}: {silent} inputs in a row without an answer")
    await door.close()


def _judge(door: Door, reply: Reply, findings: Findings) -> None:
    if reply.code in ("INTERNAL", "HTTP 500", "closed 1011") or FORBIDDEN.search(reply.text):
        findings.bad.append(f"{door.name} {reply.code}: {reply.text[:500]}")
