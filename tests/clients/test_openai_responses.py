"""OpenAI's Python client: the Responses API with Parley's base URL and an API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import openai

pytestmark = pytest.mark.e2e

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "strict": True,
}


# [covers responses, usage]
def test_a_response_is_whole_metered_and_retrieved_as_it_was(client: openai.OpenAI) -> None:
    made = client.responses.create(
        model="default",
        input="Hi [[fake tokens=3 cached_tokens=1 reasoning_tokens=2]]",
        instructions="Be short.",
        metadata={"case": "7"},
    )
    assert made.output_text == "t1 t2 t3"
    assert made.status == "completed"
    assert made.usage is not None
    assert made.usage.input_tokens_details.cached_tokens == 1
    assert made.usage.output_tokens_details.reasoning_tokens == 2
    found = client.responses.retrieve(made.id)
    assert found.to_dict() == made.to_dict()
    assert (found.instructions, found.metadata) == ("Be short.", {"case": "7"})


# [covers responses, stream, resume]
def test_a_streamed_response_has_every_event_and_goes_on_behind_any(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="default", input="Hi [[fake tokens=4]]", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "t1 t2 t3 t4"
    rest = list(client.responses.retrieve(last.response.id, stream=True, starting_after=6))
    assert [event.to_dict() for event in rest] == [event.to_dict() for event in events[7:]]
    assert client.responses.retrieve(last.response.id).to_dict() == last.response.to_dict()


def test_the_stream_helper_gathers_the_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="default", input="Hi [[fake tool_calls=2]]", tools=[WEATHER]) as stream:
        found = stream.get_final_response()
    assert len({item.call_id for item in found.output if item.type == "function_call"}) == 2


def test_a_response_follows_another_and_can_branch(client: openai.OpenAI) -> None:
    first = client.responses.create(model="default", input="My name is Ada. [[fake mode=echo]]")
    second = client.responses.create(model="default", input="And now?", previous_response_id=first.id)
    other = client.responses.create(model="default", input="Or so?", previous_response_id=first.id)
    assert second.previous_response_id == other.previous_response_id == first.id
    assert second.conversation == other.conversation == first.conversation
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    (item,) = client.responses.input_items.list(second.id).data
    assert item.type == "message"
    assert item.content[0].to_dict() == {"type": "input_text", "text": "And now?"}


# [covers responses, tools]
def test_tool_outputs_continue_the_turn(client: openai.OpenAI) -> None:
    asked = client.responses.create(
        model="default", input="Weather? [[fake tool_calls=2]]", tools=[WEATHER], tool_choice="auto"
    )
    calls = [item for item in asked.output if item.type == "function_call"]
    assert [call.status for call in calls] == ["completed", "completed"]
    outputs: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "Sun"} for call in calls]
    answer = client.responses.create(
        model="default", input=outputs, previous_response_id=asked.id, tools=[WEATHER], parallel_tool_calls=True
    )
    assert answer.status == "completed"
    assert {item.type for item in client.responses.input_items.list(answer.id)} == {"function_call_output"}


# [covers background, stop]
def test_a_background_response_is_followed_cancelled_and_deleted(client: openai.OpenAI) -> None:
    import openai

    made = client.responses.create(model="default", input="Hi [[fake endless rate=50]]", background=True)
    assert made.status == "in_progress"
    received = []
    for event in client.responses.retrieve(made.id, stream=True):
        received.append(event.sequence_number)
        if len(received) == 8:
            break
    client.responses.cancel(made.id)
    rest = list(client.responses.retrieve(made.id, stream=True, starting_after=received[-1]))
    assert rest[0].sequence_number == received[-1] + 1
    assert rest[-1].type == "response.incomplete"
    assert client.responses.retrieve(made.id).status == "cancelled"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


# [covers structured output]
def test_structured_output_reaches_the_provider(client: openai.OpenAI) -> None:
    schema: Any = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    found = client.responses.create(
        model="default",
        input='Hi [[fake text="{}"]]',
        text={"format": {"type": "json_schema", "name": "empty", "schema": schema, "strict": True}},
    )
    assert found.output_text == "{}"
    assert found.text is not None
    assert found.text.format is not None
    assert found.text.format.type == "json_schema"


def test_an_unstored_response_cannot_be_retrieved(client: openai.OpenAI) -> None:
    import openai

    first = client.responses.create(model="default", input="Hi")
    made = client.responses.create(model="default", input="And?", previous_response_id=first.id, store=False)
    assert made.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


@pytest.mark.parametrize(
    ("change", "error", "parameter"),
    [
        ({"model": "none"}, "NotFoundError", None),
        ({"tools": [{"type": "web_search"}]}, "BadRequestError", "tools.0.type"),
        ({"include": ["file_search_call.results"]}, "BadRequestError", "include.0"),
        ({"previous_response_id": "resp_none"}, "BadRequestError", "previous_response_id"),
        ({"input": "Hi [[fake status=429 retry_after=60]]"}, "RateLimitError", None),
        ({"input": "Hi [[fake status=500]]", "stream": True}, "InternalServerError", None),
    ],
)
def test_a_refusal_raises_the_clients_own_error(
    client: openai.OpenAI, change: dict[str, Any], error: str, parameter: str | None
) -> None:
    import openai

    with pytest.raises(getattr(openai, error)) as caught:
        list(client.responses.create(**{"model": "default", "input": "Hi", **change}))
    assert caught.value.param == parameter


# [covers responses, compaction]
def test_a_compaction_takes_the_place_of_the_responses_before(client: openai.OpenAI) -> None:
    first = client.responses.create(model="default", input="My name is Ada.")
    found = client.responses.compact(model="default", previous_response_id=first.id, input="And I like slate.")
    assert found.usage.output_tokens > 0
    items: Any = [item.to_dict() for item in found.output]
    question: Any = {"role": "user", "content": "What is my name? [[fake tokens=1]]"}
    again = client.responses.create(model="default", input=[*items, question])
    assert (again.status, again.output_text) == ("completed", "t1")


# [covers responses, files]
def test_a_file_is_part_of_a_response(client: openai.OpenAI) -> None:
    made = client.files.create(file=("plan.txt", b"We launch on Tuesday."), purpose="user_data")
    parts: Any = [
        {"type": "input_text", "text": "What does it say? [[fake mode=echo]]"},
        {"type": "input_file", "file_id": made.id},
    ]
    found = client.responses.create(model="default", input=[{"role": "user", "content": parts}])
    assert "We launch on Tuesday." in found.output_text
    client.files.delete(made.id)


# [covers responses, stream, websocket]
@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
def test_responses_over_a_websocket_go_on_without_being_stored(client: openai.OpenAI) -> None:
    with client.responses.connect() as socket:

        def answered(**members: Any) -> Any:
            socket.response.create(model="default", **members)
            for event in socket:
                if event.type in {"error", "response.failed", "response.completed"}:
                    return event
            raise AssertionError("the connection was closed")

        first = answered(input="Hi [[fake tokens=2]]", store=False).response
        second = answered(input="And? [[fake tokens=1]]", store=False, previous_response_id=first.id).response
        error = answered(input="And?", previous_response_id="resp_none")
        prepared = answered(input="One", generate=False).response
        stored = answered(input="Two [[fake tokens=3]]", previous_response_id=prepared.id).response
    assert [found.output_text for found in (first, second, stored)] == ["t1 t2", "t1", "t1 t2 t3"]
    assert (error.status, error.error.code) == (400, "previous_response_not_found")
    found = client.responses.retrieve(stored.id)
    assert found.to_dict() == stored.to_dict()
    rest = list(client.responses.retrieve(stored.id, stream=True, starting_after=4))
    assert rest[-1].type == "response.completed"


# [covers responses, stream]
def test_log_probabilities_are_streamed_and_stored(client: openai.OpenAI) -> None:
    wanted: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    events = list(client.responses.create(model="default", input="Hi [[fake tokens=2]]", stream=True, **wanted))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [[one.token for one in delta.logprobs] for delta in deltas] == [["t1"], [" t2"]]
    assert all(len(delta.logprobs[0].top_logprobs or ()) == 2 for delta in deltas)
    last = events[-1]
    assert last.type == "response.completed"
    stored: Any = client.responses.retrieve(last.response.id).to_dict()
    assert stored["output"] == last.response.to_dict()["output"]
    assert [one["token"] for one in stored["output"][0]["content"][0]["logprobs"]] == ["t1", " t2"]
    asked: Any = [{"role": "user", "content": "Hi [[fake tokens=2]]"}]
    whole = client.chat.completions.create(model="default", messages=asked, logprobs=True, top_logprobs=1)
    assert whole.choices[0].logprobs is not None
    assert [one.token for one in whole.choices[0].logprobs.content or ()] == ["t1", " t2"]
    chunks = client.chat.completions.create(model="default", messages=asked, logprobs=True, stream=True)
    given = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices]
    assert [one.token for found in given if found for one in found.content or ()] == ["t1", " t2"]
