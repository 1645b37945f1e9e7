"""Throws inputs at all doors and judges the replies: no internal error, no exception's text, an answer for each."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.api_gateway.support import Suite, open_market
from tests.hostile.doors import DOORS, Door, Reply, Target

WORKERS_PER_DOOR = 4
GIVE_UP_AFTER = 20
"""Inputs in a row that no handler answered: then the door is shut, which is a finding."""

FORBIDDEN = re.compile(
    r"Traceback|Exception|Error\b.*:|File \"|asyncpg|pydantic|0x7f|\.py\b|SELECT |INSERT |Errno|grpc\.aio|<object"
)


@dataclass(slots=True)
class Findings:
    """What came back. `thrown` counts everything, `answered` what a handler answered, by door and code."""

    thrown: Counter[str] = field(default_factory=Counter)
    answered: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(sum(codes.values()) for codes in self.answered.values())


async def prepare(suite: Suite) -> Target:
    """A market, a user and an administrator."""
    admin = await suite.admin()
    market_id = await open_market(admin)
    user = await suite.user("hostile")
    return Target(suite, (user.token, user.token, user.token, admin.token), (market_id, user.user_id))


async def throw_all(
    target: Target, count: int, seed: str, on_answer: Callable[[], None] = lambda: None
) -> Findings:
    """Until each door has answered its share of `count`."""
    findings = Findings()
    share = -(-count // (len(DOORS) * WORKERS_PER_DOOR))
    await asyncio.gather(
        *(
            _worker(make(target), share, random.Random(f"{seed}:{make.name}:{number}"), findings, on_answer)
            for make in DOORS
            for number in range(WORKERS_PER_DOOR)
        )
    )
    return findings


async def _worker(
    door: Door, share: int, chance: random.Random, findings: Findings, on_answer: Callable[[], None]
) -> None:
    codes = findings.answered.setdefault(door.name, Counter())
    answered = silent = 0
    while answered < share and silent < GIVE_UP_AFTER:
        findings.thrown[door.name] += 1
        reply = await door.throw(chance)
        if not reply.code:
            silent += 1
            _judge(door, reply, findings)
            continue
        silent = 0
        answered += 1
        codes[reply.code] += 1
        on_answer()
        _judge(door, reply, findings)
    if answered < share:
        findings.bad.append(f"{door.name}: {silent} inputs in a row without an answer")
    await door.close()


def _judge(door: Door, reply: Reply, findings: Findings) -> None:
    if reply.code in ("INTERNAL", "HTTP 500", "closed 1011") or FORBIDDEN.search(reply.text):
        findings.bad.append(f"{door.name} {reply.code}: {reply.text[:500]}")
