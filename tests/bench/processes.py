"""Measured programs: start and end."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator

READY_TIMEOUT = 20.0


@contextlib.asynccontextmanager
async def running(
    command: list[str], port: int, extra: dict[str, str] | None = None, *, within: float = READY_TIMEOUT
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run a program in a context; it must listen ``within`` seconds."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(extra or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Linux shares the processors among sessions: as a service it would have its own
        )
        try:
            await _until_open(process, port, output.fileno(), within)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _until_open(process: subprocess.Popen[bytes], port: int, output: int, within: float) -> None:
    async with asyncio.timeout(within):
        while True:
            if process.poll() is not None:
                sys.exit(os.pread(output, 4000, 0).decode(errors="replace"))
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
