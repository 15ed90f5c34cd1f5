"""Memory of a gateway process during a large upload."""

import asyncio
import sys
from pathlib import Path

import pytest

from gateway_testing.process import GatewayProcess, RunGatewayProcess
from parley_testing.faults.processes import peak_bytes, reset_peak
from parley_testing.http.scripted_server import respond

pytestmark = pytest.mark.integration

SIZE, PIECE = 100 * 1_048_576, 65_536
MAX_ADDED = 2 * 1_048_576
"""Bytes. A busy machine needed about half of them; the upload is 50 times as large."""
GATEWAY = Path(__file__).parents[1] / "support" / "upload_gateway.py"


class UploadSink:
    """Counts the bytes of request bodies, and responds at their end."""

    def __init__(self) -> None:
        self.received = 0
        self.first_byte = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self.received = 0
        while self.received < length:
            self.received += len(await reader.read(PIECE))
            self.first_byte.set()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()


async def upload(gateway: GatewayProcess, sink: UploadSink, size: int) -> bytes:
    """Upload ``size`` bytes. The last piece is sent when the service has received the first byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    token = gateway.bearer()["authorization"]
    path = "/api/v1/conversations/import"
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    sink.first_byte.clear()
    for _ in range(size // PIECE - 1):
        writer.write(bytes(PIECE))
        await writer.drain()
    async with asyncio.timeout(30):
        await sink.first_byte.wait()
    writer.write(bytes(PIECE))
    status = await reader.readline()
    writer.close()
    return status


async def test_a_100_mib_upload_needs_less_than_2_mib_of_memory(run_process: RunGatewayProcess) -> None:
    sink = UploadSink()
    async with await asyncio.start_server(sink, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with run_process(respond(), (sys.executable, str(GATEWAY)), HISTORY_URL=url) as gateway:
            pid = gateway.process.pid
            assert b"200" in await upload(gateway, sink, 4 * PIECE)
            reset_peak(pid)
            before = peak_bytes(pid)
            assert b"200" in await upload(gateway, sink, SIZE)
            added = peak_bytes(pid) - before
    assert sink.received == SIZE
    assert added < MAX_ADDED, f"{added // 1024} KiB were added to the peak of {before // 1024} KiB"
