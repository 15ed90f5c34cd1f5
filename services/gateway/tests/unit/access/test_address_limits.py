"""Requests without a known caller count on their address."""

from collections.abc import AsyncIterator

import pytest

from gateway_testing.pipeline import TestPipeline, open_pipeline

MODELS = "/api/v1/models"
STREAM = "/api/v1/chat/stream"
SOCKET = "/api/v1/chat/ws"


@pytest.fixture
async def pipeline() -> AsyncIterator[TestPipeline]:
    async with open_pipeline() as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/health", "GET", 200),
        ("/ready", "GET", 200),
        ("/docs", "GET", 200),
        ("/docs", "POST", 405),
        (MODELS, "OPTIONS", 204),
        (MODELS, "PUT", 405),
        ("/nothing", "GET", 404),
        (MODELS, "GET", 401),
    ],
)
async def test_every_request_without_a_caller_counts_once_on_its_address(
    pipeline: TestPipeline, path: str, method: str, status: int
) -> None:
    assert (await pipeline.request(path, method=method)).status == status
    assert pipeline.limiter.policies == ["address"]
    pipeline.limiter.refused_policies.add("address")
    response = await pipeline.request(path, method=method)
    assert (response.status, response.code) == (429, "rate_limited")
    assert response.headers["connection"] == "close"


async def test_a_preflight_counts_on_the_address() -> None:
    async with open_pipeline(cors_origins="https://app.example") as pipeline:
        pipeline.limiter.refused_policies.add("address")
        headers = {"origin": "https://app.example", "access-control-request-method": "POST"}
        assert (await pipeline.request(MODELS, method="OPTIONS", headers=headers)).status == 429


async def test_requests_over_the_limit_of_a_user_count_on_the_address_too(pipeline: TestPipeline) -> None:
    pipeline.limiter.refused_policies.add("user")
    response = await pipeline.request(MODELS, headers=pipeline.bearer())
    assert (response.status, "connection" in response.headers) == (429, False)
    assert response.headers["ratelimit-policy"].startswith('"user"')
    assert pipeline.limiter.policies == ["user", "address"]
    pipeline.limiter.refused_policies.add("address")
    response = await pipeline.request(MODELS, headers=pipeline.bearer())
    assert (response.status, response.headers["connection"]) == (429, "close")


async def test_a_websocket_without_a_route_or_from_another_origin_counts_on_the_address(pipeline: TestPipeline) -> None:
    await pipeline.websocket("/nothing")
    await pipeline.websocket("/api/v1/chat/ws", headers={"origin": "https://other.example"})
    assert pipeline.limiter.policies == ["address", "address"]
