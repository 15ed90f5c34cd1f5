"""`parley doctor` on the running product: every target of both profiles is checked and is fine."""

import json
from typing import Any

import pytest

from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate_processes import SeparateStack

pytestmark = pytest.mark.e2e
TIMEOUT = "30"


async def doctor(*arguments: str, **settings: str) -> tuple[int, dict[str, Any]]:
    status, output = await run_parley(
        *("doctor", "--json", "--timeout", TIMEOUT, *arguments), settings=settings, seconds=120
    )
    return status, json.loads(output)


def faults(document: dict[str, Any]) -> list[str]:
    return [f"{each['target']}: {each['summary']}" for each in document["findings"] if each["status"] == "fault"]


async def test_the_stack_of_a_data_folder_is_checked(embedded: EmbeddedStack) -> None:
    status, document = await doctor("--data-dir", str(embedded.folder / "data"))
    assert faults(document) == []
    targets = {each["target"] for each in document["findings"]}
    assert targets >= {"postgres auth", "postgres chat", "postgres history", "redis", "auth", "chat", "history"}
    assert targets >= {"gateway (admin)", "auth (admin)", "chat (admin)", "history (admin)", "data folder"}
    assert status == 0


async def test_the_system_of_a_service_s_settings_is_checked(separate: SeparateStack) -> None:
    chat = separate.chat[0]
    status, document = await doctor("--admin-url", f"chat={chat.admin_url}", **separate.settings_of("chat"))
    # Other tests of this stack leave dead letters, and may have stopped a consumer.
    found = {each["target"]: each for each in reversed(document["findings"])}
    assert found.keys() >= {"postgres chat", "redis", "rabbitmq", "auth", "history", "chat (admin)"}
    assert [each for each in faults(document) if not each.startswith("rabbitmq")] == []
    assert found["rabbitmq"]["facts"]["version"].startswith(("3.", "4."))
    assert found["rabbitmq"]["facts"]["writable"] is True
    assert status in {0, 1}
