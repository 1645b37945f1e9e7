"""What whoever writes or reads topics can be told."""

from pydantic import Field, SecretStr

from runtime.settings import ServiceSettings
from runtime.topics import TopicSource


class TopicSettings(ServiceSettings):
    """Where the topics are, and how they are made."""

    nats_url: SecretStr
    kafka_bootstrap: str = ""
    """Brokers of the Kafka protocol, host:port divided by commas. Empty: the topics are on JetStream."""
    kafka_partitions: int = Field(default=8, ge=1, le=1_000)
    """Of a new topic; an existing one keeps its number, because a market must stay in its partition."""
    kafka_replication: int = Field(default=0, ge=0, le=9)
    """0: three, or as many as there are brokers."""
    kafka_min_insync: int = Field(default=0, ge=0, le=9)
    """Brokers that must have a message before it counts as written. 0: one fewer than there are copies."""
    topic_retention_hours: int = Field(default=168, ge=1, le=100_000)
    topic_max_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """JetStream only: bound of the stream that holds all topics; the oldest messages go first."""

    def topic_source(self) -> TopicSource:
        return TopicSource(self.kafka_bootstrap, self.nats_url.get_secret_value())
