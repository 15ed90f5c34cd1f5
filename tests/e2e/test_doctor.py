"""`parley doctor` on the running product: every target of both profiles is checked and is fine."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from parley_testing import eventually
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


async def doctor_without(
    is_fault: Callable[[str], bool], *arguments: str, **settings: str
) -> tuple[int, dict[str, Any]]:
    """Return the first report without such faults: on a busy machine, a call to Redis may be late, which is one."""

    async def found() -> tuple[int, dict[str, Any]]:
        status, document = await doctor(*arguments, **settings)
        assert [each for each in faults(document) if is_fault(each)] == []
        return status, document

    result: tuple[int, dict[str, Any]] = await eventually(found, within=120)
    return result


def faults(document: dict[str, Any]) -> list[str]:
    return [f"{each['target']}: {each['summary']}" for each in document["findings"] if each["status"] == "fault"]


async def test_the_stack_of_a_data_folder_is_checked(embedded: EmbeddedStack) -> None:
    status, document = await doctor_without(bool, "--data-dir", str(embedded.folder / "data"))
    targets = {each["target"] for each in document["findings"]}
    assert targets >= {"postgres auth", "postgres chat", "postgres history", "redis", "auth", "chat", "history"}
    assert targets >= {"gateway (admin)", "auth (admin)", "chat (admin)", "history (admin)", "data folder"}
    assert status == 0


async def test_the_system_of_a_service_s_settings_is_checked(separate: SeparateStack) -> None:
    chat = separate.chat[0]
    # Other tests of this stack leave dead letters, and may have stopped a consumer.
    status, document = await doctor_without(
        lambda fault: not fault.startswith("rabbitmq"),
        *("--admin-url", f"chat={chat.admin_url}"),
        **separate.settings_of("chat"),
    )
    found = {each["target"]: each for each in reversed(document["findings"])}
    assert found.keys() >= {"postgres chat", "redis", "rabbitmq", "auth", "history", "chat (admin)"}
    assert found["rabbitmq"]["facts"]["version"].startswith(("3.", "4."))
    assert found["rabbitmq"]["facts"]["writable"] is True
    assert status in {0, 1}
