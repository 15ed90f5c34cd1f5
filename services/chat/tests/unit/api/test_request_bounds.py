"""Requests with more entries than are allowed: counted, not validated one by one."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from chat.protocols.openai_chat.schemas import CompletionRequest
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat.protocols.parley.schemas import ChatRequest

SAID = {"role": "user", "content": "hi"}
MANY = 10_000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ChatRequest, {"message": "hi", "metadata": {str(n): n for n in range(MANY)}}),
        (CompletionRequest, {"messages": [SAID], "metadata": {str(n): n for n in range(MANY)}}),
        (CompletionRequest, {"messages": [{"role": "nobody"}] * 1_999}),
        (CompletionRequest, {"messages": [{**SAID, "content": [1] * MANY}]}),
        (CompletionRequest, {"messages": [{**SAID, "content": [{"type": 1, "text": 1}] * MANY}]}),
        (
            CompletionRequest,
            {"messages": [{**SAID, "content": [{"type": "a", **{str(n): 2**70 for n in range(MANY)}}]}]},
        ),
        (CompletionRequest, {"messages": [SAID], **{str(n): 2**70 for n in range(MANY)}}),
        (CompletionRequest, {"messages": [{**SAID, **{str(n): 2**70 for n in range(MANY)}}]}),
        (CompletionRequest, {"messages": [{**SAID, "tool_calls": [float("inf")] * MANY}]}),
    ],
)
def test_many_invalid_entries_give_few_errors(kind: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(body)
    assert refused.value.error_count() <= 4


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["positive", "negative"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ChatRequest, {"message": "hi"}),
        (CompletionRequest, {"messages": [SAID]}),
        (ResponseRequest, {"input": "hi"}),
    ],
)
def test_a_temperature_that_no_float_can_hold_is_an_invalid_one(
    kind: type[BaseModel], body: dict[str, Any], number: int
) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate({**body, "temperature": number})
    (error,) = refused.value.errors()
    assert (error["loc"], error["type"]) == (
        ("temperature",),
        "less_than_equal" if number > 0 else "greater_than_equal",
    )
