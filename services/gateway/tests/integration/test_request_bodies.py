"""Request bodies: streamed uploads, and the size limit."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway_testing.running import RunningGateway
from parley_testing import eventually

pytestmark = pytest.mark.integration


async def test_a_large_upload_is_streamed(gateway: RunningGateway) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"x" * 65_536
        async with asyncio.timeout(30):
            await eventually(lambda: gateway.history.journal and gateway.history.journal[-1].body)
        for _ in range(200):
            sent += 65_536
            yield b"x" * 65_536

    response = await gateway.client.post(
        "/api/v1/conversations/import", content=body(), headers={**gateway.bearer(), "content-type": "application/json"}
    )
    assert response.status_code == 200
    assert len(gateway.history.journal[-1].body) == sent + 65_536


async def test_a_body_over_the_limit_is_rejected_with_and_without_a_content_length(gateway: RunningGateway) -> None:
    headers = {**gateway.bearer(), "content-type": "application/json"}
    announced = await gateway.client.post("/api/v1/chat", content=b"x" * 1_100_000, headers=headers)
    assert (announced.status_code, announced.json()["code"]) == (413, "body_too_large")
    assert gateway.chat.journal == []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 65_536

    counted = await gateway.client.post("/api/v1/chat", content=body(), headers=headers)
    assert (counted.status_code, counted.json()["code"]) == (413, "body_too_large")
    await eventually(lambda: gateway.chat.open == 0)
