"""``llm-comply``, a checker of model APIs by others, against the product with nothing but its URL and a key."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from parley_testing.http.client import Account

pytestmark = pytest.mark.e2e

LLM_COMPLY = Path(sys.executable).with_name("llm-comply")
TIMEOUT = 60.0


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        pytest.param(("--format=open-responses", "--model=gpt-5"), 13, id="responses"),
        pytest.param(("--format=openai-chat", "--model=gpt-5"), 9, id="chat-completions"),
        pytest.param(
            ("--format=anthropic", "--model=claude-sonnet-4", "--auth-header=x-api-key", "--no-bearer"),
            9,
            id="anthropic-messages",
        ),
    ],
)
async def test_every_check_of_an_api_passes(
    account: Account,
    run_program: Callable[..., Awaitable[tuple[int, str]]],
    tmp_path: Path,
    words: tuple[str, ...],
    passed: int,
) -> None:
    given = ("--base-url", f"{account.url}/v1", "--api-key", account.key)
    status, output = await run_program(str(LLM_COMPLY), *words, *given, folder=tmp_path, seconds=TIMEOUT)
    assert status == 0, output
    assert f"All {passed} tests passed!" in output  # none was skipped
