"""Local model: OpenAI-compatible API, limits, shutdown and start failures."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from parley_cli.local_model.process import CONTEXT_TOKENS, MODEL_NAME, LocalModel
from parley_cli.local_model.server import REPEAT_PENALTY, SYSTEM_PROMPT
from parley_embedded.errors import EmbeddedError
from parley_embedded.process.child import ServerCommand
from parley_testing.http.client import open_http

pytestmark = pytest.mark.integration

KILLED_BY_ITS_CPU = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"


class OldCpu(LocalModel):
    async def prepare(self) -> ServerCommand:
        return ServerCommand(name="Model", arguments=[sys.executable, "-c", KILLED_BY_ITS_CPU], folder=self.data_dir)


@pytest.fixture(scope="module")
async def model(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalModel]:
    async with LocalModel(tmp_path_factory.mktemp("model")) as server:
        yield server


@pytest.fixture
async def client(model: LocalModel) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(model.base_url, timeout=60) as found:
        yield found


def question(**options: Any) -> dict[str, Any]:
    return {"model": MODEL_NAME, "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}], **options}


async def chunks(client: httpx2.AsyncClient, body: dict[str, Any]) -> list[str]:
    async with client.stream("POST", "chat/completions", json=body) as response:
        return [line.removeprefix("data: ") async for line in response.aiter_lines() if line]


async def test_an_answer_is_streamed_and_ends_with_its_usage(client: httpx2.AsyncClient) -> None:
    *events, usage, done = await chunks(client, question(stream=True, stream_options={"include_usage": True}))
    deltas = [json.loads(event)["choices"][0] for event in events]
    assert "".join(delta["delta"].get("content") or "" for delta in deltas)
    assert deltas[-1]["finish_reason"] in {"stop", "length"}
    counted = json.loads(usage)["usage"]
    assert 1 <= counted["completion_tokens"] <= 8
    assert counted["total_tokens"] == counted["prompt_tokens"] + counted["completion_tokens"]
    assert done == "[DONE]"


async def test_a_question_alone_gets_a_system_prompt_and_its_most_likely_answer(client: httpx2.AsyncClient) -> None:
    answers = [(await client.post("chat/completions", json=question())).json() for _ in range(2)]
    assert answers[0]["choices"] == answers[1]["choices"]
    asked = {"role": "system", "content": SYSTEM_PROMPT}
    explicit = question(messages=[asked, *question()["messages"]], temperature=0, repeat_penalty=REPEAT_PENALTY)
    assert (await client.post("chat/completions", json=explicit)).json()["choices"] == answers[0]["choices"]
    assert answers[0]["usage"]["prompt_tokens"] > len(SYSTEM_PROMPT.split())


async def test_the_context_window_is_as_large_as_announced(client: httpx2.AsyncClient) -> None:
    models = (await client.get("models")).json()["data"]
    assert [(found["id"], found["meta"]["n_ctx"]) for found in models] == [(MODEL_NAME, CONTEXT_TOKENS)]


async def test_a_prompt_over_the_context_window_is_refused(client: httpx2.AsyncClient) -> None:
    message = {"role": "user", "content": "word " * CONTEXT_TOKENS}
    response = await client.post("chat/completions", json=question(messages=[message]))
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "exceed_context_size_error"


async def test_pages_with_other_prompts_are_disabled(model: LocalModel) -> None:
    async with open_http(model.url) as client:
        assert (await client.get("/slots")).status_code == 501
        assert (await client.get("/")).status_code == 404


async def test_the_log_contains_no_prompts(model: LocalModel, client: httpx2.AsyncClient) -> None:
    await chunks(client, question(stream=True))
    assert model.child.log.read_text().splitlines()[0] == f"ready {model.url}"
    assert "hello" not in model.child.log.read_text()


async def test_an_unsupported_cpu_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"^This CPU is too old for the local model\. Set OPENAI_BASE_URL"):
        await OldCpu(tmp_path).start()


async def test_missing_wheels_are_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"no_such_package.* not installed on this Linux .*Set OPENAI_BASE_URL"):
        await LocalModel(tmp_path, weights_package="no_such_package").start()


async def test_sigterm_stops_the_model(model: LocalModel) -> None:
    """The last test of this module: the others use the same model."""
    await model.stop()
    assert model.child.describe_exit() == "SIGTERM"
