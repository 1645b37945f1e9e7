"""The answers of writes as messages: the first one, or the same again."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from auth_service.database import Connection
from auth_service.writes import Intent, Replay, Writes

Answer = TypeVar("Answer", bound=Message)  # with a field `replayed`


async def answer_once(
    writes: Writes,
    intent: Intent,
    work: Callable[[Connection], Awaitable[Answer]],
    answer_class: type[Answer],
) -> Answer:
    """`work`'s message, or the stored one of the first call, marked as replayed. A `secret` in it is not stored."""
    outcome = await writes.once(intent, work, store=_without_secret)
    if isinstance(outcome, Replay):
        first = answer_class()
        first.ParseFromString(outcome.answer)
        first.replayed = True  # type: ignore[attr-defined]
        return first
    return outcome


def _without_secret(answer: Message) -> bytes:
    bare = type(answer)()
    bare.CopyFrom(answer)
    if "secret" in bare.DESCRIPTOR.fields_by_name:
        bare.ClearField("secret")
    return bare.SerializeToString()
