"""Digests of bodies under an ``Idempotency-Key``: a retry may reach the next release."""

from typing import Any

import pytest
from pydantic import BaseModel

from chat.api.request_parsing import body_hash
from chat.protocols.anthropic_messages.schemas import MessageRequest
from chat.protocols.openai_chat.schemas import CompletionRequest
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat.protocols.parley.schemas import ChatRequest


def asked(kind: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind, "text": "Hi"}]}]


@pytest.mark.parametrize(
    ("schema", "body", "digest"),
    [
        (ChatRequest, {"message": "Hi"}, "f37221d0b2dc5f68"),
        (ResponseRequest, {"model": "m", "input": asked("input_text")}, "2160c174e57806be"),
        (CompletionRequest, {"model": "m", "messages": asked("text")}, "b1f0ec9537b9214f"),
        (MessageRequest, {"model": "m", "max_tokens": 5, "messages": asked("text")}, "e89f2de23d61ed1a"),
    ],
)
def test_a_body_without_newer_members_keeps_the_digest_of_earlier_releases(
    schema: type[BaseModel], body: dict[str, Any], digest: str
) -> None:
    assert body_hash(schema.model_validate(body)).hex().startswith(digest)
