"""One episode: a market from genesis to settlement, played on the engine and on the reference side by side."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass

from tests.engine.rig import Rig
from tests.oracle.traffic import CancelMarket, Command, Resolve, Traffic

COMMANDS_PER_EPISODE = 250


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the two parted: enough to play it again."""

    seed: str
    index: int
    text: str


def play(seed: str, commands: int = COMMANDS_PER_EPISODE) -> Counter[str] | Difference:
    """Play the episode of `seed`; returns what it hit, or the first difference."""
    traffic = Traffic.start(seed)
    rig = Rig(traffic.new_world(), traffic.market_id)
    index, command = -1, None
    history: list[Command] = []
    try:
        rig.activate()
        for index in range(commands - 1):  # noqa: B007 (told in the difference)
            rig.pass_time(traffic.random.choice([0, 0, 1, 2]))
            command = traffic.next(rig.world, rig.now)
            history.append(command)
            rig.step(command, dry_run=traffic.random.random() < 0.1)
            if traffic.random.random() < 0.03:
                rig.undo_and_redo_batch()
        command = last_command(traffic)
        rig.settle(command)
        rig.replay()
    except Exception:
        tail = "\n".join(str(item) for item in history[-5:])
        return Difference(seed, index, f"{traceback.format_exc()}\n{command}\nthe last commands:\n{tail}")
    return rig.hits


def last_command(traffic: Traffic) -> Command:
    if traffic.random.random() < 0.5:
        return CancelMarket(pro_rata=traffic.random.random() < 0.5)
    return Resolve(traffic.random.choice(["YES", "NO", "AMBIGUOUS"]))
