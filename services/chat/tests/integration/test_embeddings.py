"""Embeddings on real stores and the fake provider."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from chat_testing.replica import NewDatabase, OpenReplica
from fake_provider.process import FakeProvider
from parley.ids import new_id

pytestmark = pytest.mark.integration

MODELS: dict[str, Any] = {
    "default": {"provider_model": "fake"},
    "vectors": {
        "provider_model": "fake",
        "capabilities": ["embeddings"],
        "pricing": {"input_per_million": 1, "output_per_million": 0},
    },
}


async def test_a_call_is_billed_once_through_an_event_and_failures_are_the_providers(
    open_replica: OpenReplica, new_database: NewDatabase, provider: FakeProvider, tmp_path: Path
) -> None:
    models, mark = tmp_path / "models.yaml", str(new_id())
    models.write_text(orjson.dumps({"models": MODELS}).decode())
    async with open_replica(await new_database(), models_file=models, openai_max_retries=0) as replica:
        user, body = replica.user(), {"model": "vectors", "input": [f"one {mark}", "two"], "dimensions": 3}
        answer = await user.request("POST", "/v1/embeddings", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert ([len(each["embedding"]) for each in found["data"]], found["usage"]["prompt_tokens"]) == ([3, 3], 3)
        sent = [call["request"] for call in await provider.journal()]
        assert [each for each in sent if each.get("input") == body["input"]] == [{**body, "model": "fake"}]
        (event,) = await replica.outbox(answer.headers["x-turn-id"])
        assert (event["name"], event["data"]["stored"]) == ("conversation.turn.completed", False)
        assert (event["data"]["usage"]["total_tokens"], event["data"]["cost"]) == (3, "0.000003000")
        failed = await user.request("POST", "/v1/embeddings", json={**body, "input": "[[fake status=429]]"})
        assert (failed.status_code, failed.json()["error"]["code"]) == (429, "provider_rate_limited")
        cut = await user.request("POST", "/v1/embeddings", json={**body, "input": "[[fake cut_after=0]]"})
        assert cut.status_code >= 500
        assert await replica.running_turns() == 0
