"""A member of a group as a process, to be killed: `python -m tests.runtime.topic_member KAFKA NATS NAME SECONDS`.

Prints a line of JSON for every message, after its commit, and one with its partitions when they change.
"""

from __future__ import annotations

import asyncio
import json
import sys

from runtime.topic_readers import open_reader
from runtime.topics import PartitionsLost, Topic, TopicsAway, TopicSource


async def main(kafka: str, nats: str, name: str, session_seconds: float) -> None:
    held: frozenset[int] = frozenset()
    async with open_reader(
        TopicSource(kafka, nats), Topic.PRICE_UPDATES, name=name, session_seconds=session_seconds
    ) as reader:
        while True:
            try:
                batch = await reader.next_batch(most=20, wait_seconds=0.2)
                if reader.partitions() != held:
                    held = reader.partitions()
                    print(json.dumps({"partitions": sorted(held)}), flush=True)
                await reader.commit(batch)
            except (PartitionsLost, TopicsAway):
                continue
            for message in batch.messages:
                print(json.dumps([message.market_id, json.loads(message.body)["seq"]]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
