"""JavaScript clients with their own tests, run by Node.js from PyPI."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from parley_testing.http.client import Account

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).with_name("javascript")
TEST_TIMEOUT = 60.0


@pytest.mark.parametrize("client", ["openai", "ai-sdk", "use-chat", "jose"])
async def test_the_clients_own_tests_pass(
    client: str, account: Account, node: str, packages: Path, run_program: Callable[..., Awaitable[tuple[int, str]]]
) -> None:
    script = packages / f"{client}.test.mjs"
    shutil.copy(FOLDER / script.name, script)
    status, output = await run_program(
        *(node, "--test", script.name),
        folder=packages,
        seconds=TEST_TIMEOUT,
        PARLEY_TEST_URL=account.url,
        PARLEY_TEST_KEY=account.key,
        PARLEY_TEST_TOKEN=account.token,
    )
    assert status == 0, output
