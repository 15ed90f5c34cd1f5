"""OpenAI's Python client: conversations and their items with Parley's base URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from parley_testing import eventually
from parley_testing.http.client import Account, open_http

if TYPE_CHECKING:
    import openai

pytestmark = pytest.mark.e2e


@pytest.fixture
def session_client(account: Account) -> Iterator[openai.OpenAI]:
    """A client with an access token, which has every scope of a person."""
    import openai

    with openai.OpenAI(base_url=f"{account.url}/v1", api_key=account.token, max_retries=0, timeout=20) as found:
        yield found


# [covers conversations]
def test_a_conversation_is_made_continued_listed_and_deleted(client: openai.OpenAI) -> None:
    import openai

    made = client.conversations.create(metadata={"topic": "demo"})
    first = client.responses.create(model="default", input="Hi [[fake tokens=2]]", conversation=made.id)
    second = client.responses.create(model="default", input="And?", conversation={"id": made.id})
    assert first.conversation is not None
    assert second.conversation is not None
    assert first.conversation.id == second.conversation.id == made.id
    items = [item.to_dict() for item in client.conversations.items.list(made.id, order="asc")]
    assert [(item["type"], item["role"]) for item in items] == [("message", "user"), ("message", "assistant")] * 2
    assert items[1] == first.output[0].to_dict()
    pages = [item.to_dict() for item in client.conversations.items.list(made.id, limit=1)]
    assert pages == items[::-1]
    item = client.conversations.items.retrieve(str(items[0]["id"]), conversation_id=made.id)
    assert item.to_dict() == items[0]
    with pytest.raises(openai.PermissionDeniedError):  # a key has only the scope `chat:write` by default
        client.conversations.retrieve(made.id)


# [covers conversations]
async def test_items_are_put_into_a_conversation_and_deleted_from_it(
    session_client: openai.OpenAI, account: Account
) -> None:
    import openai

    first: Any = {"type": "message", "role": "user", "content": "My name is Ada."}
    hello: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
    made, items = session_client.conversations.create(items=[first]), session_client.conversations.items
    answer: Any = {"type": "message", "role": "assistant", "content": "Noted."}
    added = items.create(made.id, items=[answer, hello], include=["reasoning.encrypted_content"])
    session_client.responses.create(model="default", input="And? [[fake tokens=1]]", conversation=made.id)
    listed = [item.to_dict() for item in items.list(made.id, order="asc")]
    assert listed[1:3] == [item.to_dict() for item in added.data]
    left = items.delete(str(listed[0]["id"]), conversation_id=made.id)
    assert (left.id, left.object) == (made.id, "conversation")
    with pytest.raises(openai.NotFoundError):
        items.retrieve(str(listed[0]["id"]), conversation_id=made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        items.create(made.id, items=[hello] * 21)
    assert refused.value.param == "items"

    path = f"/api/v1/conversations/{UUID(made.id.removeprefix('conv_'))}/messages"
    async with open_http(account.url, headers={"Authorization": f"Bearer {account.token}"}) as http:

        async def are_shown() -> bool:
            shown = [message["content"] for message in (await http.get(path)).json()["data"]]
            return shown == ["Noted.", "Hello!", "And? [[fake tokens=1]]", "t1"]

        await eventually(are_shown)


async def test_a_conversation_is_the_one_in_history(session_client: openai.OpenAI) -> None:
    import openai

    made = session_client.conversations.create(metadata={"topic": "demo"})
    assert session_client.conversations.retrieve(made.id).metadata == {"topic": "demo"}
    changed = session_client.conversations.update(made.id, metadata={"topic": "other"})
    assert (changed.id, changed.metadata) == (made.id, {"topic": "other"})
    assert session_client.conversations.delete(made.id).deleted

    def is_not_found(call: Callable[[], object]) -> bool:
        try:
            call()
        except openai.NotFoundError:
            return True
        return False

    # chat learns of a deletion in history by its event
    await eventually(lambda: is_not_found(lambda: session_client.conversations.items.list(made.id)))
    await eventually(
        lambda: is_not_found(lambda: session_client.responses.create(model="default", input="Hi", conversation=made.id))
    )
