"""Traces in both profiles: one turn is one trace from the gateway to history."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import pytest

from parley.ids import new_id
from parley_testing import eventually
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.telemetry.span_collector import ExportedSpan, SpanCollector

pytestmark = pytest.mark.e2e

Traced: TypeAlias = tuple[EmbeddedStack | SeparateStack, SpanCollector]
ROUTE = "/api/v1/chat/stream"
EXPORT_TIMEOUT = 20.0


@pytest.fixture
def one_process(embedded: EmbeddedStack, embedded_spans: SpanCollector) -> Traced:
    return embedded, embedded_spans


@pytest.fixture
def many_processes(separate: SeparateStack, spans: SpanCollector) -> Traced:
    return separate, spans


@pytest.fixture(params=[pytest.param("one_process", id="embedded"), pytest.param("many_processes", id="separate")])
def traced(request: pytest.FixtureRequest) -> Traced:
    found: Traced = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def person(traced: Traced) -> AsyncIterator[UserClient]:
    async with open_http(traced[0].url) as http:
        yield await register(http)


def one(
    found: list[ExportedSpan], service: str, name: str, kind: str, parent: ExportedSpan | None = None
) -> ExportedSpan:
    """Return the only span of this description; assert that there is one."""
    same = [span for span in found if (span.service, span.name, span.kind) == (service, name, kind)]
    spans = [span for span in same if parent is None or span.under(parent)]
    assert len(spans) == 1, f"{len(spans)} spans {name!r} of {service}"
    return spans[0]


def model_of(found: list[ExportedSpan]) -> str:
    """Return the name of the provider's model in this profile."""
    models = [str(span.attributes["gen_ai.request.model"]) for span in found if span.name.startswith("chat ")]
    assert models, "no call of the provider"
    return models[0]


def assert_whole(found: list[ExportedSpan], caller: str) -> None:
    """Assert that the spans are one turn, from the caller's span to the events."""
    edge = one(found, "gateway", f"POST {ROUTE}", "SERVER")
    forwarded = one(found, "gateway", f"POST {ROUTE}", "CLIENT", edge)
    served = one(found, "chat", f"POST {ROUTE}", "SERVER", forwarded)
    turn = one(found, "chat", "turn", "INTERNAL", served)
    call = one(found, "chat", f"chat {model_of(found)}", "CLIENT", turn)
    for parent in (served, turn):
        one(found, "chat", "publish parley.events", "PRODUCER", parent)
        one(found, "history", "process history.turns", "CONSUMER", parent)
    assert call.attributes["gen_ai.usage.output_tokens"] == 3
    assert edge.parent_id == caller
    assert turn.attributes["parley.turn.status"] == "completed"


async def test_one_turn_is_one_trace_over_all_services(traced: Traced, person: UserClient) -> None:
    _, spans = traced
    trace_id = new_id().hex
    headers = {"traceparent": f"00-{trace_id}-{trace_id[16:]}-01"}
    body = {"message": "canary-prompt [[fake tokens=3]]"}
    events = [event.data async for event in person.events("POST", ROUTE, json=body, headers=headers)]
    assert events[-1]["status"] == "completed"

    def exported() -> bool:
        assert_whole(spans.trace(trace_id), trace_id[16:])
        return True

    await eventually(exported, within=EXPORT_TIMEOUT)


async def test_exported_spans_contain_no_message_name_or_credential(traced: Traced, person: UserClient) -> None:
    _, spans = traced
    answer = await person.chat("canary-question [[fake text='canary-answer']]")
    conversation = answer["conversation_id"]
    await person.request("GET", f"/api/v1/conversations/{conversation}/messages?limit=7")
    await person.request("PATCH", "/api/v1/auth/me", json={"display_name": "canary-name"})
    await person.request("GET", "/api/v1/search?q=canary-search")
    found = await eventually(lambda: [s for s in spans.spans if s.name == "GET /api/v1/search"], within=EXPORT_TIMEOUT)
    assert found
    secrets = [person.password, person.username, person.tokens["access_token"], person.tokens["refresh_token"]]
    for secret in ("canary", f"/conversations/{conversation}", "limit=7", "@example", *secrets):
        assert secret.encode() not in spans.raw, f"{secret!r} was exported"


async def test_each_service_has_its_own_name_even_in_one_process(traced: Traced, person: UserClient) -> None:
    _, spans = traced
    await person.request("GET", "/api/v1/auth/me")
    await person.request("GET", "/api/v1/models")
    await person.request("GET", "/api/v1/conversations")
    wanted = {"gateway", "auth", "chat", "history"}
    await eventually(
        lambda: {span.service for span in spans.spans if span.kind == "SERVER"} >= wanted, within=EXPORT_TIMEOUT
    )
    assert {span.service for span in spans.spans if span.name.endswith("/auth/me")} <= {"gateway", "auth"}
    assert {span.resource["service.namespace"] for span in spans.spans} == {"parley"}
