"""What the gateway says about paths that are nearly right."""

from collections.abc import AsyncIterator

import orjson
import pytest

from gateway.path_hints import EMPTY_SEGMENT, ENCODED, TRAILING_SLASH
from gateway_testing.pipeline import TestPipeline, open_pipeline


@pytest.fixture
async def pipeline() -> AsyncIterator[TestPipeline]:
    async with open_pipeline(console="off") as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("//api/v1/models", EMPTY_SEGMENT),
        ("/api/v1//models", EMPTY_SEGMENT),
        ("//v1/messages", EMPTY_SEGMENT),
        ("/api/v1/models/", TRAILING_SLASH),
        ("/docs/", TRAILING_SLASH),
        ("/api/v1/%6dodels", ENCODED),
    ],
)
async def test_a_path_that_is_nearly_right_is_explained(pipeline: TestPipeline, path: str, hint: str) -> None:
    response = await pipeline.request(path)
    assert (response.status, orjson.loads(response.body)["detail"]) == (404, hint)


@pytest.mark.parametrize("path", ["//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/"])
async def test_a_path_of_openais_clients_is_explained_too(pipeline: TestPipeline, path: str) -> None:
    response = await pipeline.request(path, method="POST")
    assert response.status == 404
    assert orjson.loads(response.body)["error"]["message"] in {EMPTY_SEGMENT, TRAILING_SLASH}


@pytest.mark.parametrize("path", ["/", "/robots.txt"])
async def test_another_path_only_does_not_exist(pipeline: TestPipeline, path: str) -> None:
    response = await pipeline.request(path)
    assert (response.status, orjson.loads(response.body)["detail"]) == (404, "The resource does not exist.")
