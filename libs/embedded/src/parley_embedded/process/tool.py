"""Short-lived programs."""

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path


async def run_tool(
    *arguments: str, seconds: float, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a short program; return its exit status (127: not found, 124: took too long) and what it printed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return 127, f"cannot run {arguments[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        return 124, f"{arguments[0]} took longer than {seconds:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace").strip()
