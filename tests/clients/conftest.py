"""An account for clients of other projects: they get a URL and a credential, and nothing else."""

import pytest

from parley_testing.http.client import Account, open_account
from parley_testing.stacks.embedded import EmbeddedStack


@pytest.fixture(scope="module")
async def account(embedded: EmbeddedStack) -> Account:
    return await open_account(embedded.url)
