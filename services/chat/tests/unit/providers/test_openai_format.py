"""Wire format of OpenAI's chat completions: the requests that are sent."""

from typing import Any

import pytest

from chat.catalogue import Target
from chat.generation import Prompt
from chat.parameters import ProviderKind
from chat.providers.wire_formats import wire_format_of
from chat.tool_call_limits import MAX_CALL_ID
from chat_testing.parsed_answers import chunk, delta, parse

SAID = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Hi"}]


def body(kind: ProviderKind, messages: list[dict[str, Any]], model: str = "m") -> dict[str, Any]:
    target = Target("http://model/v1", None, kind)
    return wire_format_of(target).body(model, Prompt(messages, 100))


@pytest.mark.parametrize(("kind", "role"), [("openai", "developer"), ("compatible", "system")])
def test_only_openai_gets_the_role_developer(kind: ProviderKind, role: str) -> None:
    assert body(kind, SAID)["messages"] == [{"role": role, "content": "Be short."}, SAID[1]]


def test_the_messages_of_a_prompt_stay_as_they_are() -> None:
    messages = [dict(message) for message in SAID]
    body("compatible", messages)
    assert messages == SAID


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"n":1}'}}
SIGNED = {**CALL, "extra_content": {"google": {"thought_signature": "CiQB+/a="}}}


def loop(call: dict[str, Any], call_id: Any) -> list[dict[str, Any]]:
    """Return the messages that go on after a call."""
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [SAID[1], answer, {"role": "tool", "tool_call_id": call_id, "content": "2"}]


def test_the_signature_of_a_call_comes_back_to_gemini_with_its_id() -> None:
    (call,) = parse(delta(tool_calls=[SIGNED]), chunk({}, "tool_calls")).calls
    sent = body("compatible", loop(call, call["id"]), "models/gemini-3-pro")["messages"]
    assert sent == loop(SIGNED, "c1")


@pytest.mark.parametrize("kind", ["openai", "compatible"])
def test_other_models_get_the_plain_id_of_a_signed_call(kind: ProviderKind) -> None:
    (call,) = parse(delta(tool_calls=[SIGNED]), chunk({}, "tool_calls")).calls
    assert body(kind, loop(call, call["id"]))["messages"] == loop(CALL, "c1")


def test_claude_gets_the_plain_id_of_a_signed_call() -> None:
    (call,) = parse(delta(tool_calls=[SIGNED]), chunk({}, "tool_calls")).calls
    _, answer, result = body("anthropic", loop(call, call["id"]))["messages"]
    assert (answer["content"][0]["id"], result["content"][0]["tool_use_id"]) == ("c1", "c1")


def test_a_signature_that_the_client_sends_itself_stays() -> None:
    assert body("compatible", loop(SIGNED, "c1"), "gemini-3-pro")["messages"] == loop(SIGNED, "c1")


@pytest.mark.parametrize(
    "extra",
    [
        None,
        5,
        {"google": None},
        {"google": {"thought_signature": 5}},
        *({"google": {"thought_signature": bad}} for bad in ("", "a b", "\ud800", "x" * MAX_CALL_ID)),
    ],
)
def test_a_signature_that_cannot_be_kept_leaves_the_id_as_it_is(extra: object) -> None:
    answer = parse(delta(tool_calls=[{**CALL, "extra_content": extra}]), chunk({}, "tool_calls"))
    assert answer.calls == [CALL]


@pytest.mark.parametrize("call", [5, {}, {"id": 5}, {"id": None}, CALL])
def test_calls_of_any_form_are_sent_as_they_are(call: Any) -> None:
    assert body("compatible", loop(call, None), "gemini-3-pro")["messages"] == loop(call, None)
