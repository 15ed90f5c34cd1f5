"""Several worker processes of one gateway."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from gateway_testing.process import RunGatewayProcess
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, respond

pytestmark = pytest.mark.integration

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CLIENTS = 200


@pytest.mark.chaos
async def test_four_processes_share_the_stream_limit_of_a_user(run_process: RunGatewayProcess) -> None:
    async def endless(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"9\r\ndata: 1\n\n\r\n")
        await asyncio.sleep(30)

    async with run_process(endless, WORKERS=4, STREAMS_PER_USER=3) as found, contextlib.AsyncExitStack() as stack:
        headers, statuses = found.bearer(), []
        for _ in range(8):
            client = await stack.enter_async_context(found.client())
            stream = client.stream("POST", "/api/v1/chat/stream", json={}, headers=headers)
            statuses.append((await stack.enter_async_context(stream)).status_code)
        assert statuses == [200] * 3 + [429] * 5


async def test_sigterm_under_load_fails_no_request_and_interrupts_no_stream(run_process: RunGatewayProcess) -> None:
    async def answer(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        if not seen.target.endswith("/stream"):
            await respond()(seen, writer)
            return
        writer.write(HEAD)
        for _ in range(60):
            writer.write(b"9\r\ndata: 1\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")

    settings = {"DRAIN_DELAY": 5, "DRAIN_TIMEOUT": 10, "WORKERS": 2}
    async with run_process(answer, **settings) as found, found.client() as client:
        streams = [
            asyncio.create_task(client.post("/api/v1/chat/stream", json={}, headers=found.bearer())) for _ in range(20)
        ]
        stop, statuses = asyncio.Event(), []

        async def load() -> None:
            headers = found.bearer()
            while not stop.is_set():
                statuses.append((await client.get("/api/v1/models", headers=headers)).status_code)
                await asyncio.sleep(0.02)

        loads = [asyncio.create_task(load()) for _ in range(10)]
        await eventually(lambda: len(statuses) > 100, within=20)
        found.process.send_signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(1.0, stop.set)
        await asyncio.gather(*loads)
        assert set(statuses) == {200}
        assert {(await stream).content for stream in streams} == {b"data: 1\n\n" * 60}
        async with asyncio.timeout(30):
            assert await found.process.wait() == 0


async def test_a_worker_that_dies_is_replaced(run_process: RunGatewayProcess) -> None:
    async with run_process(respond(), WORKERS=2) as found:
        children = Path(f"/proc/{found.process.pid}/task/{found.process.pid}/children")
        before = children.read_text().split()
        os.kill(int(before[0]), signal.SIGKILL)
        await eventually(lambda: len(set(children.read_text().split()) - {before[0]}) == 2, within=20)
        async with found.client() as client:
            assert (await client.get("/api/v1/models", headers=found.bearer())).status_code == 200
