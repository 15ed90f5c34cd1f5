"""OpenTelemetry collector for tests: receives OTLP over HTTP and returns the exported spans."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from parley_testing.http.scripted_server import ScriptedServer, respond, scripted_server
from parley_testing.waiting import eventually

PATH = "/v1/traces"


@dataclass(frozen=True)
class ExportedSpan:
    """A span as it was exported."""

    service: str
    resource: dict[str, Any]
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: dict[str, dict[str, Any]]
    failed: bool
    seconds: float

    def under(self, parent: "ExportedSpan") -> bool:
        """Return whether the other span is its parent."""
        return (self.trace_id, self.parent_id) == (parent.trace_id, parent.span_id)


class SpanCollector:
    """The spans received so far."""

    def __init__(self, upstream: ScriptedServer) -> None:
        self.upstream, self.url = upstream, upstream.url

    @property
    def raw(self) -> bytes:
        """The bodies of all requests."""
        return b"".join(seen.body for seen in self.upstream.journal)

    @property
    def spans(self) -> list[ExportedSpan]:
        """All spans."""
        bodies = [bytes(seen.body) for seen in self.upstream.journal if seen.complete and seen.target == PATH]
        return [span for body in bodies for span in _spans(body)]

    def trace(self, trace_id: str) -> list[ExportedSpan]:
        """Return the spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]

    async def find(self, name: str, *, within: float = 10, **wanted: Any) -> ExportedSpan:
        """Wait for the span with this name and these fields; assert that there is only one."""

        def found() -> list[ExportedSpan]:
            same = [span for span in self.spans if span.name == name]
            return [span for span in same if all(getattr(span, field) == value for field, value in wanted.items())]

        await eventually(found, within=within, message=f"no {name!r} {wanted} among {self.names()}")
        (span,) = found()
        return span

    def names(self) -> list[tuple[str, str]]:
        """Return the service and name of every span."""
        return [(span.service, span.name) for span in self.spans]


@contextlib.asynccontextmanager
async def run_collector() -> AsyncIterator[SpanCollector]:
    """Run a collector in a context."""
    async with scripted_server(respond(200, b"", ("content-type", "application/x-protobuf"))) as upstream:
        yield SpanCollector(upstream)


def traced_to(spans: SpanCollector) -> dict[str, str]:
    """Return the settings that make a service export every trace to the collector."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url, "OTEL_TRACES_SAMPLER_ARG": "1"}


def _spans(body: bytes) -> Iterator[ExportedSpan]:
    for found in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(found.resource.attributes)
        for scope in found.scope_spans:
            for span in scope.spans:
                yield _span(resource, span)


def _span(resource: dict[str, Any], span: trace_pb2.Span) -> ExportedSpan:
    return ExportedSpan(
        service=resource["service.name"],
        resource=resource,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        events={event.name: _attributes(event.attributes) for event in span.events},
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None
