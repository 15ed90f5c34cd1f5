"""Every example of the guides runs as printed, and prints what the guide says."""

import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from parley_testing.guides import GuideProgram, programs
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.administrators import make_administrator
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

GUIDES = Path(__file__).resolve().parents[2] / "docs/guides"
TIMEOUT = 120.0
MARK = "example of "
"""The line that a language prints before the output of each guide."""

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture(scope="module")
async def administrator(embedded: EmbeddedStack) -> AsyncIterator[UserClient]:
    async with open_http(embedded.url) as http:
        user = await register(http)
        await make_administrator(embedded, user)
        yield user


@pytest.fixture
async def variables(embedded: EmbeddedStack, administrator: UserClient) -> dict[str, str]:
    """The environment variables that the guides name, of a user who may create webhooks."""
    async with open_http(embedded.url) as http:
        user: UserClient = await register(http)
        account = (await user.request("GET", "/api/v1/auth/me")).json()
        path, scopes = f"/api/v1/admin/users/{account['id']}", [*account["scopes"], "webhooks"]
        changed = await administrator.request("PATCH", path, json={"scopes": scopes})
        assert changed.is_success, changed.text
        await user.log_in()
        return {
            "PARLEY": embedded.url,
            "TOKEN": user.tokens["access_token"],
            "PARLEY_USERNAME": user.username,
            "PARLEY_PASSWORD": user.password,
        }


def outputs(text: str) -> dict[str, str]:
    """Return the output of each guide by its name."""
    parts = text.split(MARK)[1:]
    return {name: output for name, _, output in (part.partition("\n") for part in parts)}


def expected(found: list[GuideProgram]) -> dict[str, str]:
    return {program.guide: program.output for program in found}


async def test_the_examples_for_curl_work(run_program: Run, variables: dict[str, str], tmp_path: Path) -> None:
    found = programs(GUIDES, "sh")
    words = (f"echo {MARK}{program.guide}; bash -euo pipefail -c {shlex.quote(program.code)}" for program in found)
    status, output = await run_program("bash", "-ec", "\n".join(words), folder=tmp_path, seconds=TIMEOUT, **variables)
    assert status == 0, output
    assert outputs(output).keys() == expected(found).keys()
    assert len(found) > 5


async def test_the_examples_in_python_print_what_the_guides_say(
    run_program: Run, variables: dict[str, str], tmp_path: Path
) -> None:
    found = programs(GUIDES, "python")
    for program in found:
        (tmp_path / f"{program.guide}.py").write_text(program.code)
    run_all = f"import runpy\nfor name in {[p.guide for p in found]!r}:\n    print({MARK!r} + name, flush=True)\n"
    words = (sys.executable, "-c", run_all + "    runpy.run_path(name + '.py')")
    status, output = await run_program(*words, folder=tmp_path, seconds=TIMEOUT, **variables)
    assert status == 0, output
    assert outputs(output) == expected(found)
    assert len(found) > 5


async def test_the_examples_in_javascript_print_what_the_guides_say(
    run_program: Run, node: str, packages: Path, variables: dict[str, str]
) -> None:
    found = programs(GUIDES, "javascript")
    run_id = uuid4().hex  # The folder of the packages is shared between test runs.
    files = {program.guide: packages / f"{program.guide}-{run_id}.mjs" for program in found}
    try:
        for program in found:
            files[program.guide].write_text(program.code)
        lines = (f"console.log({MARK + guide!r}); await import('./{file.name}');" for guide, file in files.items())
        words = (node, "--input-type=module", "--eval", "\n".join(lines))
        status, output = await run_program(*words, folder=packages, seconds=TIMEOUT, **variables)
    finally:
        for file in files.values():
            file.unlink(missing_ok=True)
    assert status == 0, output
    assert outputs(output) == expected(found)
    assert len(found) > 5
