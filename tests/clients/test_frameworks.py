"""Frameworks on OpenAI's clients with their own tests, each in an environment of its own (`make test-clients`)."""

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from parley_testing.backends.shared_servers import UnavailableError
from parley_testing.http.client import Account

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

FOLDER = Path(__file__).with_name("frameworks")
PYTHON = Path(__file__).resolve().parents[2] / "scripts/client-frameworks"
NOT_INSTALLED = 3
TEST_TIMEOUT = 300.0
SCRIPTS = ("-p", "no:cacheprovider", "agents_sdk.py", "langchain_openai_chat.py")
Run = Callable[..., Awaitable[tuple[int, str]]]
Install = Callable[[Path, str], Awaitable[Path]]


@pytest.fixture
def variables(account: Account) -> dict[str, str]:
    return {"PARLEY_TEST_URL": account.url, "PARLEY_TEST_KEY": account.key, "PARLEY_TEST_TOKEN": account.token}


async def test_the_frameworks_in_python_work(run_program: Run, variables: dict[str, str]) -> None:
    words = (str(PYTHON), "-m", "pytest", "-c", os.devnull, "--noconftest", "-q", *SCRIPTS)
    status, output = await run_program(*words, folder=FOLDER, seconds=TEST_TIMEOUT, **variables)
    if status == NOT_INSTALLED and "cannot install" in output:
        raise UnavailableError(f"the frameworks cannot be installed:\n{output[-2000:]}")
    assert status == 0, output


async def test_the_frameworks_in_javascript_work(
    npm_packages: Install, node: str, run_program: Run, variables: dict[str, str]
) -> None:
    packages = await npm_packages(FOLDER, "javascript-frameworks")
    script = shutil.copy(FOLDER / "agents.test.mjs", packages)
    words = (node, "--test", Path(script).name)
    status, output = await run_program(*words, folder=packages, seconds=TEST_TIMEOUT, **variables)
    assert status == 0, output
