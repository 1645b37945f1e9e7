"""Structured logs on standard output, one JSON object a line (or coloured text), each with the ids of its request.

    log = get_logger(__name__)
    log.info("order placed", market_id=market_id, quantity_micros=5)

Values whose name looks like a secret, and passwords in URLs, are never written.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.tracing import current_request_id, current_trace_id

HIDDEN = "[hidden]"
VALUE_MAX_CHARACTERS = 10_000
_SECRET_NAME = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api_key|private|dsn|_url$", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+@")
_BEARER = re.compile(r"(Bearer\s+)\S+", re.IGNORECASE)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; cheap, and usable before `configure_logging`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name, module=name)
    return logger


def configure_logging(
    service: str, *, instance: str = "", level: str = "INFO", form: Literal["json", "console"] = "json"
) -> None:
    """Once per process, in main. Logs of libraries go the same way."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _with_ids(service, instance or service),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiohttp.access", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank what must not be read in a log, and bound what a client may make us write."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = clean_text(value)
    return event


def clean_text(text: str) -> str:
    """The text without passwords in URLs and bearer tokens, cut to a bounded length."""
    text = text[:VALUE_MAX_CHARACTERS]
    return _BEARER.sub(rf"\1{HIDDEN}", _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text))


def _with_ids(service: str, instance: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        event["instance"] = instance
        if trace_id := current_trace_id():
            event["trace_id"] = trace_id
        if request_id := current_request_id():
            event["request_id"] = request_id
        return event

    return add


def _to_json(event: MutableMapping[str, Any], **_options: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
