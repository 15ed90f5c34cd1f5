"""Turns of a replica with the response cache, and their calls of the provider."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually

PLANS = """
default: {tokens_per_minute: null}
metered: {tokens_per_day: 2000, tokens_per_minute: 100}
"""


@contextlib.asynccontextmanager
async def open_cache_replica(
    open_replica: OpenReplica, new_database: NewDatabase, folder: Path
) -> AsyncIterator[ChatReplica]:
    """Run a replica with the response cache and long answers."""
    plans = folder / "plans.yaml"
    plans.write_text(PLANS)
    options: dict[str, Any] = {"enable_cache": True, "plans_file": plans, "model_max_output_tokens": 20_000}
    options["model_context_window"] = 128_000
    async with open_replica(await new_database(), **options) as found:
        yield found


def new_prompt(knobs: str = "tokens=3") -> str:
    """Return a prompt that is not cached."""
    return f"{new_id()} [[fake {knobs}]]"


async def complete(user: ChatUser, message: str, **members: Any) -> Any:
    """Return the answer to a message once it is cached."""
    response = await user.chat(message, **members)
    assert response.status_code == 200, response.text
    supervisor = user.replica.wired.supervisor
    await eventually(lambda: not supervisor.running())
    return response.json()


async def calls(provider: FakeProvider, message: str) -> int:
    """Return the number of provider calls with a message."""
    return len(await provider.journal(contains=message.split(maxsplit=1)[0]))
