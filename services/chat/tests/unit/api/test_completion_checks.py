"""What ``POST /v1/chat/completions`` forwards, and what it refuses by name."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from chat.admission.context_window import client_context
from chat.admission.fallbacks import usable
from chat.admission.plans import ChatPlan
from chat.api.completion_checks import check
from chat.catalogue import Model
from chat.errors import ModelNotFound, UnsupportedContent
from chat.parameters import FORWARDED, ProviderKind
from chat.protocols.openai_chat.schemas import CompletionRequest
from chat_testing.files import PNG
from chat_testing.turns import MODEL, make_catalogue, make_request
from parley.errors import InvalidRequest, ValidationFailed
from parley.ids import new_id
from parley.web.problems import error_body

USER = {"role": "user", "content": "Hi"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
OPENAI = replace(MODEL, parameters=FORWARDED["openai"], capabilities=("stream", "tools", "vision"))
VISION = replace(MODEL, capabilities=("stream", "vision"))


def request(**members: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "default", "messages": [USER], **members})


def checked(model: Model = MODEL, /, **members: Any) -> CompletionRequest:
    body = request(**members)
    check(body, make_catalogue(model), lambda _: True)
    return body


def refused(model: Model = MODEL, /, **members: Any) -> tuple[str | None, str]:
    """Return the parameter and the message of the refusal."""
    with pytest.raises(InvalidRequest) as raised:
        checked(model, **members)
    body, media_type = error_body(raised.value, instance="/v1/chat/completions", request_id="r", base_url="")
    error = orjson.loads(body)["error"]
    assert (raised.value.status, error["type"], media_type) == (400, "invalid_request_error", "application/json")
    return error["param"], error["message"]


@pytest.mark.parametrize("name", ["top_k", "repeat_penalty", "chat_template_kwargs", "min_p", "reasoning"])
def test_parameters_of_other_servers_reach_them_and_openai_refuses_them(name: str) -> None:
    assert checked(**{name: 1}).options() == {name: 1}
    assert refused(OPENAI, **{name: 1})[0] == name


@pytest.mark.parametrize("name", ["seed", "top_p", "user", "verbosity", "reasoning_effort", "parallel_tool_calls"])
def test_parameters_of_openai_are_forwarded_to_every_server(name: str) -> None:
    for model in (MODEL, OPENAI):
        assert checked(model, **{name: 1}).options() == {name: 1}


@pytest.mark.parametrize(
    "name",
    [
        "functions",
        "audio",
        "best_of",
        "n_predict",
        "service_tier",
        "api_base",
        "a/b~",
        "x" * 99,
    ],
)
def test_an_unknown_parameter_is_refused_by_name(name: str) -> None:
    param, message = refused(**{name: "x"})
    assert param == name[:64]
    assert "does not support" in message


@pytest.mark.parametrize(
    "members",
    [
        {"top_k": None},
        {"logprobs": False},
        {"logprobs": None, "top_logprobs": 0},
        {"modalities": ["text"]},
        {"service_tier": "auto"},
        {"functions": [], "function_call": "none"},
        {"n": 1},
        {"tool_choice": "auto"},
    ],
)
def test_parameters_that_ask_for_nothing_are_accepted(members: dict[str, Any]) -> None:
    assert set(checked(OPENAI, **members).options()) <= {"tool_choice"}


def test_a_missing_model_is_400() -> None:
    for model in (None, ""):
        assert refused(model=model)[0] == "model"
    with pytest.raises(ModelNotFound):
        checked(messages=[USER], model="gpt-none")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_required_call_needs_tools_and_the_capability(choice: object) -> None:
    assert refused(tools=TOOLS, tool_choice=choice)[0] == "tool_choice"
    assert refused(OPENAI, tool_choice=choice)[0] == "tool_choice"
    assert checked(OPENAI, tools=TOOLS, tool_choice=choice).options() == {"tools": TOOLS, "tool_choice": choice}


def test_a_custom_tool_is_refused_because_its_calls_would_be_lost_and_tools_of_model_servers_are_not() -> None:
    custom = {"type": "custom", "custom": {"name": "grep"}}
    assert refused(OPENAI, tools=[*TOOLS, custom])[0] == "tools.1.type"
    others: list[Any] = [[*TOOLS, {"type": "builtin_function", "function": {"name": "$search"}}], [{"type": ["x"]}], {}]
    for tools in others:
        assert checked(tools=tools).tools == tools


def test_unknown_stream_options_are_refused_by_name() -> None:
    assert refused(stream_options={"continuous_usage_stats": True})[0] == "stream_options.continuous_usage_stats"
    checked(stream_options={"include_usage": True, "include_obfuscation": False})


def test_a_prompt_may_be_instructions_alone_unless_it_is_stored() -> None:
    system = [{"role": "system", "content": "Tell a joke."}]
    checked(messages=system)
    for stored in ({"store": True}, {"metadata": {"conversation_id": str(new_id())}}):
        with pytest.raises(ValidationFailed) as raised:
            checked(messages=system, **stored)
        assert raised.value.errors[0].name == "messages"


def test_n_above_one_is_refused_by_name() -> None:
    assert refused(n=2)[0] == "n"


ASSISTANT = {"role": "assistant", "content": "a"}


def test_reasoning_goes_back_to_servers_that_take_it() -> None:
    messages = [USER, {**ASSISTANT, "reasoning_content": "because"}, USER]
    assert checked(messages=messages).messages[1].for_provider(MODEL.parameters) == messages[1]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_reasoning_that_a_client_sends_back_is_left_out_for_servers_that_refuse_it(
    name: str, kind: ProviderKind
) -> None:
    model = replace(OPENAI, parameters=FORWARDED[kind])
    body = checked(model, messages=[USER, {**ASSISTANT, name: "because"}, USER])
    assert body.messages[1].for_provider(model.parameters) == ASSISTANT


@pytest.mark.parametrize("name", ["prefix", "audio", "function_call", "annotations"])
def test_an_unknown_member_of_a_message_is_refused_by_name(name: str) -> None:
    assert refused(messages=[USER, {**ASSISTANT, name: {"a": 1}}])[0] == f"messages.1.{name}"


def test_an_answer_of_openais_sdk_may_be_sent_back() -> None:
    message: dict[str, Any] = {
        **ASSISTANT,
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    assert checked(OPENAI, messages=[message, USER]).messages[0].for_provider() == ASSISTANT


IMAGE = {"type": "image_url", "image_url": {"url": PNG}}


def content(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_vision_admits_images_only() -> None:
    messages = content({"type": "text", "text": "a"}, IMAGE)
    assert checked(VISION, messages=messages).messages[0].for_provider() == messages[0]
    for model, part in (
        (MODEL, IMAGE),
        (VISION, {"type": "input_audio", "input_audio": {}}),
    ):
        with pytest.raises(UnsupportedContent):
            checked(model, messages=content(part))


@pytest.mark.parametrize("image", [None, "data:", {}, {"url": ""}, {"url": 5}])
def test_an_image_without_an_address_is_refused_by_name(image: object) -> None:
    part = {"type": "image_url", "image_url": image}
    assert refused(VISION, messages=content(part))[0] == "messages.0.content.0.image_url"


def test_text_parts_are_joined_unless_that_would_drop_a_member() -> None:
    texts = content({"type": "text", "text": "a"}, {"type": "text", "text": "b"})
    assert checked(messages=texts).messages[0].for_provider() == {"role": "user", "content": "ab"}
    cached = content({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}})
    assert checked(messages=cached).messages[0].for_provider() == cached[0]
    assert refused(messages=content({"type": "text", "text": "a", "x": 1}))[0] == "messages.0.content.0.x"


@pytest.mark.parametrize(
    ("options", "messages"),
    [({"top_k": 1}, [USER]), ({}, [{**ASSISTANT, "reasoning": "x"}, USER])],
)
def test_a_fallback_that_would_drop_something_does_not_answer(options: Any, messages: Any) -> None:
    wanted = make_request(options=options, messages=messages)
    context = client_context(wanted, MODEL)
    assert usable([OPENAI, VISION], wanted, context, ChatPlan()) == [VISION]


def test_log_probabilities_are_asked_for_where_the_model_takes_them() -> None:
    wanted = {"logprobs": True, "top_logprobs": 20}
    for model in (MODEL, OPENAI):
        assert checked(model, **wanted).options() == wanted
    assert checked(OPENAI, logprobs=False, top_logprobs=0).options() == {}
    assert refused(replace(MODEL, parameters=FORWARDED["anthropic"]), **wanted)[0] == "logprobs"
    assert refused(top_logprobs=2)[0] == "top_logprobs"
    with pytest.raises(ValueError, match="top_logprobs"):
        request(logprobs=True, top_logprobs=21)
