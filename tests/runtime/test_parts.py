"""Clock, ids, logs, settings: the small parts."""

import json
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import ManualClock, SystemClock, from_datetime, from_rfc3339, to_datetime, to_rfc3339
from runtime.ids import is_canonical_uuid, parse_uuid, uuid7
from runtime.logs import HIDDEN, hide_secrets
from runtime.tracing import begin_request, configure_tracing, current_trace_id, outgoing_headers

CANONICAL = "0191e8a0-1234-7abc-8def-0123456789ab"
MICROS = st.integers(min_value=0, max_value=4_102_444_800_000_000)


@given(MICROS)
def test_a_time_survives_its_text_and_its_datetime(time_micros: int) -> None:
    assert from_rfc3339(to_rfc3339(time_micros)) == time_micros
    assert from_datetime(to_datetime(time_micros)) == time_micros


def test_times_have_microseconds_and_z() -> None:
    assert to_rfc3339(1_700_000_000_000_001) == "2023-11-14T22:13:20.000001Z"
    assert from_rfc3339("2023-11-15T00:13:20+02:00") == 1_700_000_000_000_000


@pytest.mark.parametrize(
    "text", ["", "now", "2023-11-14", "2023-11-14T22:13:20", "1700000000", "2023-13-01T00:00:00Z"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_rfc3339(text)


@pytest.mark.parametrize(
    "text",
    [
        CANONICAL.upper(),
        f"urn:uuid:{CANONICAL}",
        f"{{{CANONICAL}}}",
        CANONICAL.replace("-", ""),
        f"{CANONICAL}\n",
        f" {CANONICAL}",
        CANONICAL.replace("0", "\u0660"),
        "",
    ],
)
def test_only_one_spelling_of_a_uuid_is_accepted(text: str) -> None:
    assert is_canonical_uuid(CANONICAL)
    assert not is_canonical_uuid(text)
    with pytest.raises(ValueError):
        parse_uuid(text)


def test_new_ids_are_version_7_and_sort_by_age() -> None:
    clock = ManualClock()
    ids = []
    for _ in range(100):
        clock.advance(0.001)
        ids.append(uuid7(clock.now_micros()))
    assert ids == sorted(ids)
    assert {uuid.UUID(text).version for text in ids} == {7}
    assert {uuid.UUID(text).variant for text in ids} == {uuid.RFC_4122}
    assert all(is_canonical_uuid(text) for text in ids)
    assert len({uuid7(SystemClock().now_micros()) for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "token",
        "refresh_token",
        "Authorization",
        "set_cookie",
        "client_secret",
        "database_url",
    ],
)
def test_secret_names_are_blanked_in_logs(name: str) -> None:
    assert hide_secrets(None, "info", {name: "hunter2"})[name] == HIDDEN


@pytest.mark.parametrize(
    "text",
    [
        "postgres://user:hunter2@host/db",
        "redis://:hunter2@host:1/0",
        "Bearer hunter2",
        "x nats://a:hunter2@b y",
    ],
)
def test_secrets_inside_texts_are_blanked_in_logs(text: str) -> None:
    assert "hunter2" not in str(hide_secrets(None, "info", {"event": text, "other": text}))


def test_a_log_line_is_one_json_object_whatever_a_client_sent() -> None:
    script = (
        "from runtime.logs import configure_logging, get_logger\n"
        "import logging\n"
        "configure_logging('demo', instance='demo-1')\n"
        "get_logger('x').info('seen', name='a\\n{\"forged\": 1}')\n"
        "logging.getLogger('library').warning('line %s', 'postgres://u:hunter2@h/d')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    get_logger('x').error('bad', exc_info=error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"].split()[0] for line in lines] == ["seen", "line", "bad"]
    assert all((line["service"], line["instance"]) == ("demo", "demo-1") for line in lines)
    assert lines[0]["name"] == 'a\n{"forged": 1}'
    assert "hunter2" not in done.stdout
    assert "ZeroDivisionError" in lines[2]["exception"]


async def test_a_request_continues_its_callers_trace() -> None:
    configure_tracing("demo")
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    span = begin_request("test", {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-00", "x-request-id": "r-1"})
    assert current_trace_id() == trace_id
    headers = outgoing_headers()
    assert headers["x-request-id"] == "r-1"
    assert trace_id in headers["traceparent"]
    span.end()
    begin_request("test", {"traceparent": "junk"}).end()
    assert current_trace_id() not in ("", trace_id)
