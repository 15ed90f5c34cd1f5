"""``POST /v1/embeddings`` on in-memory stores, and answers of providers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chat.api.embedding_calls import MAX_EMBEDDING_CALLS, MAX_EMBEDDING_CALLS_OF_USER, EmbeddingCalls
from chat.catalogue import EMBEDDINGS
from chat.errors import ProviderRateLimited
from chat.protocols.openai_embeddings import MAX_INPUTS
from chat.providers.catalogue_file import load_catalogue
from chat.providers.embeddings import embeddings_of
from chat.providers.failures import AttemptFailed
from chat.settings import ChatSettings
from chat_testing.api import open_api
from chat_testing.bench import EngineBench
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import MODEL, make_catalogue
from parley.config.settings import SettingsError, load
from parley.errors import Overloaded
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
VECTORS = replace(MODEL, alias="vectors", capabilities=(EMBEDDINGS,), context_window=1000)


@pytest.fixture
def bench() -> ServiceBench:
    return ServiceBench(EngineBench(catalogue=make_catalogue(MODEL, VECTORS)))


@pytest.fixture
async def http(bench: ServiceBench) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        found.headers["Authorization"] = f"Bearer {ISSUER.token(new_id())}"
        yield found


async def embed(http: httpx2.AsyncClient, **members: Any) -> httpx2.Response:
    return await http.post("/v1/embeddings", json={"model": "vectors", "input": "Hi", **members})


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("Hi", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2), (["é"] * MAX_INPUTS, MAX_INPUTS)],
)
async def test_texts_and_tokens_are_sent_as_they_came_and_metered_as_an_unlisted_turn(
    bench: ServiceBench, http: httpx2.AsyncClient, given: Any, inputs: int
) -> None:
    answer = await embed(http, input=given, dimensions=4, encoding_format="base64")
    assert answer.status_code == 200, answer.text
    assert [each["index"] for each in answer.json()["data"]] == list(range(inputs))
    assert (answer.json()["model"], answer.json()["usage"]) == ("vectors", {"prompt_tokens": 7, "total_tokens": 7})
    (call,) = bench.engine.embeddings.calls
    assert call.body == {"input": given, "dimensions": 4, "encoding_format": "base64"}
    (turn,) = bench.engine.turns.turns.values()
    assert (turn.status, turn.stored, turn.model) == ("completed", False, "vectors")
    assert turn.usage is not None
    assert (turn.usage.total_tokens, turn.usage.estimated) == (7, False)


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"input": []}, "invalid_request", "input"),
        ({"input": ""}, "invalid_request", "input.0"),
        ({"input": ["a", ""]}, "invalid_request", "input.1"),
        ({"input": [1, "a"]}, "invalid_request", "input.0"),
        ({"input": [[1], [-1]]}, "invalid_request", "input.1"),
        ({"input": [True]}, "invalid_request", "input.0"),
        ({"input": {"a": 1}}, "invalid_request", "input"),
        ({"input": None}, "invalid_request", "input"),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "invalid_request", "input"),
        ({"input": "a" * 4001}, "context_length_exceeded", None),
        ({"dimensions": 0}, "validation_failed", "dimensions"),
        ({"encoding_format": "hex"}, "validation_failed", "encoding_format"),
        ({"n": 2}, "invalid_request", "n"),
        ({"model": "default"}, "invalid_request", "model"),
        ({"model": None}, "invalid_request", "model"),
        ({"model": "unknown"}, "model_not_found", None),
    ],
)
async def test_a_refused_request_names_the_parameter_and_calls_no_provider(
    bench: ServiceBench, http: httpx2.AsyncClient, members: dict[str, Any], code: str, param: str | None
) -> None:
    error = (await embed(http, **members)).json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert bench.engine.turns.turns == {}


async def test_a_model_of_embeddings_answers_no_messages(http: httpx2.AsyncClient) -> None:
    body = {"model": "vectors", "messages": [{"role": "user", "content": "Hi"}]}
    answer = await http.post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


async def test_an_idempotency_key_is_refused_because_a_repeat_would_be_billed(http: httpx2.AsyncClient) -> None:
    answer = await http.post(
        "/v1/embeddings", json={"model": "vectors", "input": "Hi"}, headers={"Idempotency-Key": "a"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


async def test_a_failure_of_the_provider_is_the_error_and_costs_nothing(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    bench.engine.embeddings.generator.failure = ProviderRateLimited(retry_after=3)
    bench.engine.embeddings.generator.down = frozenset({"vectors"})
    answer = await embed(http)
    assert answer.status_code >= 400
    (turn,) = bench.engine.turns.turns.values()
    assert turn.status == "failed"
    assert turn.usage is not None
    assert turn.usage.total_tokens == 0


async def test_a_cancelled_call_is_no_failure_of_the_provider_and_is_not_repeated(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    bench.engine.embeddings.generator.endless = True
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(embed(http))
        await eventually(lambda: bool(bench.engine.turns.turns))
        (turn_id,) = bench.engine.turns.turns
        await http.post(f"/api/v1/chat/turns/{turn_id}/cancel")
    refused = waiting.result()
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "turn_cancelled")
    assert refused.headers["x-should-retry"] == "false"


async def test_tokens_that_the_provider_does_not_report_are_estimated(
    bench: ServiceBench, http: httpx2.AsyncClient
) -> None:
    bench.engine.embeddings.usage = None
    answer = await embed(http, input=["a" * 8, "b" * 4])
    assert answer.json()["usage"]["prompt_tokens"] == 3


def test_one_user_never_holds_all_calls_of_a_process(bench: ServiceBench) -> None:
    calls, user, other = EmbeddingCalls(bench.engine.embeddings), new_id(), new_id()
    with ExitStack() as held:
        for _ in range(MAX_EMBEDDING_CALLS_OF_USER):
            held.enter_context(calls.running(user))
        with pytest.raises(Overloaded, match="4 of a user"):
            held.enter_context(calls.running(user))
        for _ in range(MAX_EMBEDDING_CALLS - MAX_EMBEDDING_CALLS_OF_USER):
            held.enter_context(calls.running(other))
        with pytest.raises(Overloaded):
            held.enter_context(calls.running(new_id()))
    with calls.running(user):
        pass


@pytest.mark.parametrize(
    "answer", [None, {}, {"data": []}, {"data": [{}]}, {"data": [{"embedding": 1}]}, {"data": [{"embedding": []}]}]
)
def test_an_answer_without_an_embedding_for_each_input_is_a_failure(answer: Any) -> None:
    with pytest.raises(AttemptFailed):
        embeddings_of(answer, 1)


@pytest.mark.parametrize(("numbers", "first"), [((1, 0), "b"), ((0, 0), "a"), ((1, 2), "a"), (("1", []), "a")])
def test_embeddings_are_in_the_order_of_their_numbers_unless_these_are_wrong(numbers: Any, first: str) -> None:
    data = [{"index": number, "embedding": each} for number, each in zip(numbers, "ab", strict=True)]
    found = embeddings_of({"data": data}, 2)
    assert [each["index"] for each in found] == [0, 1]
    assert found[0]["embedding"] == first


@pytest.mark.parametrize(
    ("models", "refused"),
    [
        ("{a: {provider_model: a}, v: {provider_model: v, capabilities: [embeddings]}}", False),
        ("{v: {provider_model: v, capabilities: [embeddings]}}", True),
        ("{a: {provider_model: a, fallbacks: [v]}, v: {provider_model: v, capabilities: [embeddings]}}", True),
        ("{a: {provider_model: a}, v: {provider_model: v, kind: anthropic, capabilities: [embeddings]}}", True),
    ],
)
def test_a_model_of_embeddings_never_has_to_answer(tmp_path: Path, models: str, refused: bool) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(f"models: {models}\n")
    settings = load(ChatSettings, database_url="postgresql://x/chat", redis_url="redis://x", models_file=path)
    if not refused:
        assert [model.alias for model in load_catalogue(settings)] == ["a", "v"]
        return
    with pytest.raises(SettingsError, match="embeddings"):
        load_catalogue(settings)
