"""Trace spans of turns and provider calls, without any content."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Subscription
from parley_testing import eventually
from parley_testing.telemetry.span_collector import SpanCollector, run_collector

pytestmark = pytest.mark.integration

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
CALL = "chat fake"


@pytest.fixture
async def spans() -> AsyncIterator[SpanCollector]:
    async with run_collector() as running:
        yield running


class OpenTraced(Protocol):
    """Opens a replica that sends its spans to the collector."""

    def __call__(self, **settings: Any) -> contextlib.AbstractAsyncContextManager[ChatReplica]: ...


@pytest.fixture
def traced(open_replica: OpenReplica, new_database: NewDatabase, spans: SpanCollector) -> OpenTraced:
    @contextlib.asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[ChatReplica]:
        async with open_replica(await new_database(), otel_exporter_otlp_endpoint=spans.url, **settings) as replica:
            yield replica

    return opened


async def test_request_turn_call_and_events_are_one_trace(spans: SpanCollector, traced: OpenTraced) -> None:
    traceparents: dict[str, str] = {}

    async def record(event: CloudEvent) -> None:
        traceparents[event.name] = event.traceparent or ""

    async with traced() as replica, replica.bus.consume(Subscription("test.recorder", ("conversation.#",), record)):
        answer = (await replica.user().chat("canary-prompt [[fake tokens=3]]", headers=SAMPLED)).json()
        await eventually(lambda: "conversation.turn.completed" in traceparents)
    request = await spans.find("POST /api/v1/chat")
    turn, call = await spans.find("turn"), await spans.find(CALL)
    assert (request.trace_id, request.parent_id) == (TRACE, CALLER)
    assert turn.under(request)
    assert call.under(turn)
    started, ended = traceparents["conversation.turn.started"], traceparents["conversation.turn.completed"]
    assert started.split("-")[1:3] == [TRACE, request.span_id]
    assert ended.split("-")[1:3] == [TRACE, turn.span_id]
    assert turn.attributes["parley.turn.status"] == "completed"
    assert turn.attributes["parley.turn.cached"] is False
    assert turn.attributes["gen_ai.conversation.id"] == answer["conversation_id"]
    assert [span.parent_id for span in spans.spans if span.kind == "PRODUCER"] == [request.span_id, turn.span_id]


async def test_a_call_span_has_the_usage_and_the_time_to_the_first_token(
    spans: SpanCollector, traced: OpenTraced
) -> None:
    async with traced() as replica:
        body = (await replica.user().chat("canary-prompt [[fake tokens=3]]", headers=SAMPLED)).json()
    call = await spans.find(CALL)
    assert call.kind == "CLIENT"
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.request.model"] == "fake"
    assert call.attributes["gen_ai.response.model"] == "fake"
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert call.attributes["gen_ai.usage.input_tokens"] == body["usage"]["prompt_tokens"]
    assert call.attributes["gen_ai.usage.output_tokens"] == body["usage"]["completion_tokens"]
    assert 0 < call.attributes["gen_ai.response.time_to_first_chunk"] <= call.seconds
    assert "first token" in call.events
    assert b"canary" not in spans.raw
    assert body["message"].encode() not in spans.raw


async def test_each_retry_has_its_own_span(spans: SpanCollector, traced: OpenTraced) -> None:
    async with traced() as replica:
        knobs = "[[fake status=503 error_message=canary-raw]]"
        response = await replica.user().chat(f"{new_id()} {knobs}", headers=SAMPLED)
        assert response.status_code == 503
    turn = await spans.find("turn")
    calls = [span for span in spans.spans if span.name == CALL]
    assert len(calls) == 3
    assert all(call.under(turn) and call.failed for call in calls)
    assert {call.attributes["error.type"] for call in calls} == {"provider_unavailable"}
    assert (turn.attributes["parley.turn.status"], turn.attributes["error.type"]) == ("failed", "provider_unavailable")
    assert b"canary" not in spans.raw


async def test_a_fallback_has_its_own_span_and_model(
    spans: SpanCollector, traced: OpenTraced, provider: FakeProvider, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    entry = {"base_url": provider.base_url, "context_window": 8000, "max_output_tokens": 100}
    bad = {**entry, "provider_model": "fake?status=400", "fallbacks": ["good"]}
    good = {**entry, "provider_model": "fake"}
    models.write_text(yaml.safe_dump({"default": "bad", "models": {"bad": bad, "good": good}}))
    async with traced(models_file=models) as replica:
        await replica.user().chat("[[fake tokens=1]]", headers=SAMPLED)
    turn, first, second = await spans.find("turn"), await spans.find("chat fake?status=400"), await spans.find(CALL)
    assert first.under(turn)
    assert second.under(turn)
    assert first.failed
    assert not second.failed


async def test_a_turn_that_is_cancelled_ends_both_spans(spans: SpanCollector, traced: OpenTraced) -> None:
    async with traced() as replica:
        user = replica.user()
        body = {"message": "[[fake endless rate=20]]"}
        async with user.stream("/api/v1/chat/stream", json=body, headers=SAMPLED) as (response, events):
            await anext(events)
            await user.request("POST", f"/api/v1/chat/turns/{response.headers['x-turn-id']}/cancel")
    turn, call = await spans.find("turn"), await spans.find(CALL)
    assert turn.attributes["parley.turn.status"] == "cancelled"
    assert call.under(turn)
    assert not call.failed


async def test_without_a_sampled_caller_and_at_ratio_zero_nothing_is_exported(
    spans: SpanCollector, traced: OpenTraced
) -> None:
    async with traced(otel_traces_sampler_arg=0.0) as replica:
        assert (await replica.user().chat("[[fake tokens=1]]")).status_code == 200
    assert spans.upstream.journal == []
