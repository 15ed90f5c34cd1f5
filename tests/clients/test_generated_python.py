"""A Python client generated from the OpenAPI document by openapi-python-client, against the product."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from parley_testing.backends.shared_servers import UnavailableError
from parley_testing.http.client import Account

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("python") / "use_generated_client.py"
GENERATOR = ROOT / "scripts/openapi-client"
PYTHON = ROOT / ".tools/openapi-clients/bin/python"
INSTALL_TIMEOUT, TEST_TIMEOUT = 300.0, 120.0
NOT_INSTALLED = 3


async def test_the_generator_gives_no_warning_and_its_client_works(
    account: Account, run_program: Callable[..., Awaitable[tuple[int, str]]], tmp_path: Path
) -> None:
    made = tmp_path / "generated"
    status, output = await run_program(str(GENERATOR), str(made), folder=ROOT, seconds=INSTALL_TIMEOUT)
    if status == NOT_INSTALLED:
        raise UnavailableError(f"the generator cannot be installed:\n{output[-2000:]}")
    assert status == 0, output
    status, output = await run_program(
        *(str(PYTHON), str(SCRIPT)),
        folder=made,
        seconds=TEST_TIMEOUT,
        PYTHONPATH=str(made),
        PARLEY_TEST_URL=account.url,
        PARLEY_TEST_TOKEN=account.token,
    )
    assert status == 0, output
    assert output.endswith("the generated client works\n")
