"""Topics of a Kafka-protocol broker: made, adjusted, deleted; a group's position moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import CommitFailedError, TopicAlreadyExistsError, UnknownMemberIdError, for_code

from runtime.kafka_reader import away
from runtime.topic_settings import TopicSettings
from runtime.topics import Topic, TopicsAway

REQUEST_SECONDS: Final = 10
REPLICATION: Final = 3
MESSAGE_MAX_BYTES: Final = 1024 * 1024
_UNKNOWN_TOPIC: Final = 3


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is now."""

    topic: Topic
    partitions: int
    made: bool
    """Just now."""


async def ensure_topics(settings: TopicSettings, *, adjust: bool) -> list[TopicState]:
    """Makes the topics that are missing; `adjust`: gives those that were there the settings too, but partitions stay.

    Raises TopicsAway.
    """
    async with _admin(settings.kafka_bootstrap) as admin:
        brokers = len((await admin.describe_cluster())["brokers"])
        copies = settings.kafka_replication or min(REPLICATION, brokers)
        configs = topic_configs(settings, copies)
        missing = [
            NewTopic(topic.value, settings.kafka_partitions, copies, topic_configs=configs) for topic in Topic
        ]
        made = _made(await admin.create_topics(missing))
        old = [topic.value for topic in Topic if topic not in made]
        if adjust and old:
            resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict(configs)) for name in old]
            for answer in await admin.alter_configs(resources):
                for error_code, message, *_ in answer.resources:
                    if error_code:
                        raise for_code(error_code)(message)
        described = await admin.describe_topics([topic.value for topic in Topic])
    partitions = {one["topic"]: len(one["partitions"]) for one in described}
    return [TopicState(topic, partitions[topic.value], topic in made) for topic in Topic]


def topic_configs(settings: TopicSettings, copies: int) -> Mapping[str, str]:
    """What a topic is made with."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(settings.topic_retention_hours * 3_600_000),
        "min.insync.replicas": str(settings.kafka_min_insync or max(1, copies - 1)),
        "max.message.bytes": str(MESSAGE_MAX_BYTES),
    }


async def delete_topics(settings: TopicSettings) -> None:
    """With all messages and what groups committed. Raises TopicsAway."""
    async with _admin(settings.kafka_bootstrap) as admin:
        answer = await admin.delete_topics([topic.value for topic in Topic])
        for _, error_code in answer.topic_error_codes:
            if error_code not in (0, _UNKNOWN_TOPIC):
                raise for_code(error_code)


async def seek_group(bootstrap: str, topic: Topic, *, to_start: bool) -> bool:
    """What `rpk group seek` does: the group goes on from the first or after the last message. Raises TopicsAway.

    False: it has readers, and stays where it is.
    """
    async with _admin(bootstrap) as admin:
        [described] = await admin.describe_topics([topic.value])
        partitions = [TopicPartition(topic.value, one["partition"]) for one in described["partitions"]]
        if not partitions:
            raise TopicsAway(f"{topic} is not there")
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id=topic.group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            find = consumer.beginning_offsets if to_start else consumer.end_offsets
            await consumer.commit(await find(partitions))
        except (CommitFailedError, UnknownMemberIdError):
            return False
        finally:
            await consumer.stop()
    return True


def _made(answer: Any) -> set[Topic]:
    made: set[Topic] = set()
    for name, error_code, *message in answer.topic_errors:
        if error_code == 0:
            made.add(Topic(name))
        elif error_code != TopicAlreadyExistsError.errno:
            raise for_code(error_code)(*message)
    return made


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    with away():
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_SECONDS * 1_000)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()
