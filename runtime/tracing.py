"""Request ids and traces: taken from what comes in, carried in what goes out (gRPC metadata, HTTP, NATS headers).

Each request runs in its own task, so what `begin_request` sets is seen by that request alone and ends with it.
Without an exporter nothing is recorded, but every request still has a trace id, which answers and logs show.
"""

import random
import re
import time
from collections.abc import Iterable, Mapping
from contextvars import Context, ContextVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.ids import new_request_id

REQUEST_ID_HEADER = "x-request-id"
TRACEPARENT_HEADER = "traceparent"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_deadline_at: ContextVar[float | None] = ContextVar("deadline_at", default=None)
_propagator = TraceContextTextMapPropagator()
_recording = False


def configure_tracing(service: str, *, instance: str = "", endpoint: str = "") -> TracerProvider:
    """Once per process, in main. `endpoint`: an OTLP collector's, or empty. Shut the provider down at the end."""
    global _recording
    _recording = bool(endpoint)
    resource = Resource.create({"service.name": service, "service.instance.id": instance or service})
    provider = TracerProvider(resource=resource, sampler=ParentBased(ALWAYS_ON if endpoint else ALWAYS_OFF))
    if endpoint:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    trace.set_tracer_provider(provider)
    return provider


def begin_request(name: str, headers: Mapping[str, str], *, remaining_seconds: float | None = None) -> Span:
    """Take over the caller's ids (new ones where they are missing or odd). The caller ends the span.

    `headers`: lower-case names, or a mapping that takes any case. `remaining_seconds`: what is left of the caller's
    deadline; outgoing calls keep to it.
    """
    request_id = headers.get(REQUEST_ID_HEADER, "")
    _request_id.set(request_id if _REQUEST_ID.fullmatch(request_id) else new_request_id())
    _deadline_at.set(None if remaining_seconds is None else time.monotonic() + remaining_seconds)
    traceparent = headers.get(TRACEPARENT_HEADER, "")
    span = _recorded_span(name, traceparent) if _recording else _plain_span(traceparent)
    otel_context.attach(trace.set_span_in_context(span))
    return span


def begin_joint_work(name: str, requests: Iterable[Context]) -> Span:
    """As `begin_request`, for what is done once for several requests: its ids are new, and their spans link to it."""
    span = begin_request(name, {})
    for request in requests:
        request.run(trace.get_current_span).add_link(span.get_span_context())
    return span


def outgoing_headers() -> dict[str, str]:
    """The ids of the current request, to be sent along: `x-request-id` and `traceparent`."""
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    headers[REQUEST_ID_HEADER] = current_request_id() or new_request_id()
    return headers


def current_trace_id() -> str:
    """32 hex digits, or empty outside a request."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def current_request_id() -> str:
    """The caller's id of this request, or ours; empty outside a request."""
    return _request_id.get()


def remaining_seconds() -> float | None:
    """What is left of the current request's deadline; None when it has none."""
    deadline_at = _deadline_at.get()
    return None if deadline_at is None else max(0.0, deadline_at - time.monotonic())


def _recorded_span(name: str, traceparent: str) -> Span:
    parent = _propagator.extract({TRACEPARENT_HEADER: traceparent}, context=otel_context.Context())
    return trace.get_tracer("predmarket").start_span(name, context=parent, kind=SpanKind.SERVER)


def _plain_span(traceparent: str) -> Span:
    """Only the ids, in a tenth of the time: most deployments record nothing, and every call comes through here."""
    match = _TRACEPARENT.fullmatch(traceparent)
    trace_id = int(match[1], 16) if match else 0
    context = SpanContext(
        trace_id=trace_id or random.getrandbits(128) or 1,
        span_id=random.getrandbits(64) or 1,
        is_remote=False,
        trace_flags=_SAMPLED if match and int(match[2], 16) & 1 else _NOT_SAMPLED,
    )
    return NonRecordingSpan(context)
