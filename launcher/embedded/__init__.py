"""PostgreSQL, NATS and Redis from wheels, run as child processes of whoever starts them; Kafka where there is Java.

Each server is a plain object: `start()` returns when it answers, `stop()` when its process is gone, `kill()`
is a SIGKILL for tests, and `start()` afterwards brings it back on the same port with the same data. None
survives its parent: start them from a thread that lives as long as they should (normally the main thread).
"""

from launcher.embedded.kafka import KafkaServer
from launcher.embedded.nats import NatsServer
from launcher.embedded.postgres import PostgresServer
from launcher.embedded.process import ServerError
from launcher.embedded.redis import RedisServer

__all__ = ["KafkaServer", "NatsServer", "PostgresServer", "RedisServer", "ServerError"]
