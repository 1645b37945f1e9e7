"""What comes over HTTP, as ClickHouse's own interface has it: the query in `?query=` and the body, parameters as
`param_*`, credentials as Bearer, Basic or X-ClickHouse-Key.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from analytics.analysts.refusals import (
    BAD_REQUEST,
    READONLY,
    SYNTAX_ERROR,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNKNOWN_DATABASE,
    Refused,
)
from analytics.analysts.rules import checked_format
from analytics.analysts.sessions import Question

QUERY_MAX_BYTES: Final = 256 * 1024
"""The engine reads no longer ones either."""

PARAMETERS_MAX: Final = 200
_IGNORED: Final = frozenset(
    {
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "quota_key",
        "compress",
        "decompress",
        "role",
    }
    | {"buffer_size", "wait_end_of_query", "send_progress_in_http_headers", "enable_http_compression"}
    | {"http_headers_progress_interval_ms", "client_protocol_version", "readonly", "user"}
)
"""What clients say about the transport. Every query is a session of its own here."""

_NO_FORM: Final = (ValueError, LookupError, RuntimeError, HttpProcessingError)
"""What aiohttp raises for parts that are none, of unknown character sets or unknown encodings."""

_OWN: Final = frozenset({"query", "database", "default_format"})
_DATABASES: Final = frozenset({"", "default", "__default__"})
_QUERY_ID: Final = re.compile(r"[\w.:-]{1,100}")


def query_id(request: web.Request) -> str:
    """The sender's, or a new one."""
    wanted = request.query.get("query_id") or request.headers.get("X-ClickHouse-Query-Id") or ""
    return wanted if _QUERY_ID.fullmatch(wanted) else str(uuid4())


def authorization(request: web.Request) -> str:
    """`Bearer <token or API key>`, wherever it was sent. Raises Refused where there is none."""
    if "password" in request.query:
        raise Refused(UNAUTHENTICATED, "Send the token in a header: addresses are kept in logs.")
    token = request.headers.get("X-ClickHouse-Key", "")
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = rest
    elif scheme.lower() == "basic":
        token = _password(rest)
    if not token:
        raise Refused(
            UNAUTHENTICATED, "An access token or an API key is needed, as Bearer or as the password."
        )
    return f"Bearer {token.strip()}"


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, no ASCII, no UTF-8
        return ""


async def question(request: web.Request, database: str) -> Question:
    """The query of a GET or POST. Raises Refused."""
    fields = dict(request.query)
    body = ""
    if request.method == "POST":
        if request.content_type == "multipart/form-data":
            fields |= await _form(request)
        else:
            body = await _text(request)
    _check_fields(fields, database, request.headers.get("X-ClickHouse-Database", ""))
    sql = "\n".join(text for text in (fields.get("query", ""), body) if text).strip()
    if not sql:
        raise Refused(SYNTAX_ERROR, "Empty query.")
    if len(sql.encode()) > QUERY_MAX_BYTES:
        raise Refused(TOO_LARGE, f"A query may have {QUERY_MAX_BYTES} bytes.")
    wanted = request.headers.get("X-ClickHouse-Format") or fields.get("default_format", "")
    parameters = {name[6:]: text for name, text in fields.items() if name.startswith("param_")}
    if len(parameters) > PARAMETERS_MAX:
        raise Refused(BAD_REQUEST, f"A query may have {PARAMETERS_MAX} parameters.")
    return Question(sql, parameters, checked_format(wanted))


async def _form(request: web.Request) -> dict[str, str]:
    """As clickhouse-connect sends many parameters. Files would be tables of the sender's: there are none here."""
    try:
        posted = await request.post()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(TOO_LARGE, "The body is too large.") from None
    except _NO_FORM:
        raise Refused(BAD_REQUEST, "The form cannot be read.") from None
    if not all(isinstance(value, str) for value in posted.values()):
        raise Refused(READONLY, "External tables are not open to analysts.")
    return {name: str(value) for name, value in posted.items()}


async def _text(request: web.Request) -> str:
    try:
        return (await request.read()).decode()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(TOO_LARGE, "The body is too large.") from None
    except UnicodeDecodeError:
        raise Refused(SYNTAX_ERROR, "A query is text in UTF-8.") from None


def _check_fields(fields: Mapping[str, str], database: str, header_database: str) -> None:
    for named in (fields.get("database", ""), header_database):
        if named not in _DATABASES and named != database:
            raise Refused(UNKNOWN_DATABASE, f"Analysts read the database {database}.")
    for name in fields:
        if name not in _OWN and name not in _IGNORED and not name.startswith("param_"):
            raise Refused(READONLY, f"Cannot modify '{name[:100]}' setting in readonly mode.")
    for name in ("compress", "decompress"):
        if fields.get(name, "0") not in ("0", "false", ""):
            raise Refused(BAD_REQUEST, f"{name}: use Content-Encoding or no compression.")
