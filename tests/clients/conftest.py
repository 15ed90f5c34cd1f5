"""Account for clients of other projects, which get only a URL and a credential."""

import pytest

from parley_testing.http.client import Account, open_account
from parley_testing.stacks.embedded import EmbeddedStack


@pytest.fixture(scope="module")
async def account(embedded: EmbeddedStack) -> Account:
    return await open_account(embedded.url)
