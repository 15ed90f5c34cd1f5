"""Administrators of a running stack."""

from parley_testing.http.client import UserClient
from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate_processes import SeparateStack


async def make_administrator(stack: EmbeddedStack | SeparateStack, user: UserClient) -> None:
    """Give a user the scopes of an administrator, and log in with them."""
    command = ("admin", "create-admin", user.username)
    status, output = await run_parley(*command, settings=stack.settings_of("auth"))
    assert status == 0, output
    await user.log_in()
