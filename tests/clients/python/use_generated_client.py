"""Calls of the client that is generated from the OpenAPI document; runs in the environment of the generator."""

# mypy: ignore-errors

import os
from uuid import uuid4

from parley_client import AuthenticatedClient
from parley_client.api.chat import chat_create_turn, chat_get_turn, chat_stream_turn
from parley_client.api.conversations import history_list_messages
from parley_client.api.models import chat_list_models
from parley_client.models import (
    ChatAnswer,
    ChatRequest,
    ModelPage,
    PageMessage,
    Problem,
    TurnResource,
)

URL, TOKEN = os.environ["PARLEY_TEST_URL"], os.environ["PARLEY_TEST_TOKEN"]
MESSAGE = "Hi [[fake tokens=3]]"

with AuthenticatedClient(base_url=URL, token=TOKEN, raise_on_unexpected_status=True) as client:
    models = chat_list_models.sync(client=client)
    assert isinstance(models, ModelPage), models
    assert models.default == "default"

    key = str(uuid4())
    first, second = (
        chat_create_turn.sync_detailed(client=client, body=ChatRequest(message=MESSAGE), idempotency_key=key)
        for _ in range(2)
    )
    assert isinstance(first.parsed, ChatAnswer), first
    assert (first.parsed.message, first.parsed.usage.completion_tokens) == ("t1 t2 t3", 3)
    assert second.parsed == first.parsed
    assert second.headers["Idempotency-Replayed"] == "true"

    accepted = chat_create_turn.sync(client=client, body=ChatRequest(message=MESSAGE), prefer="respond-async")
    assert isinstance(accepted, TurnResource), accepted

    streamed = chat_stream_turn.sync_detailed(client=client, body=ChatRequest(message=MESSAGE))
    assert b'"finished":true' in streamed.content, streamed

    messages = history_list_messages.sync(
        first.parsed.conversation_id, client=client, wait_for=first.parsed.turn_id, limit=2
    )
    assert isinstance(messages, PageMessage), messages
    assert [message.role for message in messages.data] == ["user", "assistant"]

    missing = chat_get_turn.sync(str(uuid4()), client=client)
    assert isinstance(missing, Problem), missing
    assert missing.code == "turn_not_found"
print("the generated client works")
