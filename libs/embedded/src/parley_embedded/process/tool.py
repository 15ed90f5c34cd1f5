"""Short-lived programs."""

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path

from parley_embedded.process.environment import child_environment

NOT_FOUND = 127
TIMED_OUT = 124


async def run_tool(
    *arguments: str,
    seconds: float,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> tuple[int, str]:
    """Run a program for at most `seconds` and return its exit status and output.

    Without an `environment`, the program gets the allowed variables of this process. `stdin` is its input.
    The status is 127 when the program does not exist and 124 when the time is over, as in a shell.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=folder,
            env=child_environment() if environment is None else environment,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return NOT_FOUND, f"cannot run {arguments[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(None if stdin is None else stdin.encode())
    except TimeoutError:
        return TIMED_OUT, f"{arguments[0]} took longer than {seconds:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace").strip()
