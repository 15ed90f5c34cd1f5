"""Wire format of OpenAI's chat completions: the requests that are sent."""

from typing import Any

import pytest

from chat.catalogue import Target
from chat.generation import Prompt
from chat.parameters import ProviderKind
from chat.providers.wire_formats import wire_format_of

SAID = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Hi"}]


def body(kind: ProviderKind, messages: list[dict[str, Any]]) -> dict[str, Any]:
    target = Target("http://model/v1", None, kind)
    return wire_format_of(target).body("m", Prompt(messages, 100))


@pytest.mark.parametrize(("kind", "role"), [("openai", "developer"), ("compatible", "system")])
def test_only_openai_gets_the_role_developer(kind: ProviderKind, role: str) -> None:
    assert body(kind, SAID)["messages"] == [{"role": role, "content": "Be short."}, SAID[1]]


def test_the_messages_of_a_prompt_stay_as_they_are() -> None:
    messages = [dict(message) for message in SAID]
    body("compatible", messages)
    assert messages == SAID
