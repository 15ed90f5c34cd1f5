"""What an export says of a conversation, an import reads."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from history.conversations.schemas import Conversation
from history.messages.schemas import Message
from history.transfer.entry_scanner import RawEntry
from history.transfer.export_service import export_head
from history.transfer.parsing import parse_entry
from parley.ids import new_id
from parley_events.parts import Usage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_TIMES = st.integers(0, 10**13).map(lambda milliseconds: EPOCH + timedelta(milliseconds=milliseconds))
_COUNTS = st.integers(0, 2**40)
_COSTS = st.none() | st.decimals(0, 1_000_000, places=9)
_USAGES = st.none() | st.builds(
    Usage,
    prompt_tokens=_COUNTS,
    completion_tokens=_COUNTS,
    total_tokens=_COUNTS,
    cached_tokens=_COUNTS,
    reasoning_tokens=_COUNTS,
    estimated=st.booleans(),
)
_TOOL_CALLS = st.none() | st.lists(st.dictionaries(_TEXTS, _TEXTS | st.integers(-5, 5), max_size=2), max_size=2)


@st.composite
def _conversations(draw: st.DrawFn) -> tuple[Conversation, list[Message]]:
    conversation_id, messages = new_id(), list[Message]()
    for index in range(draw(st.integers(1, 5))):
        parent = draw(st.sampled_from([None, *(message.id for message in messages)]))
        message_id = new_id()
        messages.append(
            Message(
                id=message_id,
                conversation_id=conversation_id,
                turn_id=draw(st.sampled_from([None, message_id])),
                number=index + 1,
                parent_id=parent,
                sibling_ids=[],
                sibling_count=0,
                role=draw(st.sampled_from(["user", "assistant", "tool"])),
                content=draw(_TEXTS),
                tool_calls=draw(_TOOL_CALLS),
                tool_call_id=draw(st.none() | st.just("call_1")),
                status=draw(st.sampled_from(["completed", "incomplete", "failed", "cancelled"])),
                finish_reason=draw(st.none() | st.just("stop")),
                model=draw(st.none() | st.just("large")),
                usage=draw(_USAGES),
                cost=draw(_COSTS),
                created_at=draw(_TIMES),
            )
        )
    conversation = Conversation(
        id=conversation_id,
        title=draw(st.none() | st.text("aé漢 ", min_size=1, max_size=200).filter(str.strip)),
        title_source=draw(st.sampled_from(["auto", "user"])),
        archived=draw(st.booleans()),
        model=draw(st.none() | st.just("large")),
        message_count=len(messages),
        tokens_used=draw(_COUNTS),
        cost_estimate=None,
        cost=draw(_COSTS),
        running_turn_id=None,
        active_message_id=draw(st.sampled_from(messages)).id,
        metadata=draw(st.dictionaries(st.text("ab", min_size=1, max_size=3), _TEXTS, max_size=3)),
        version=3,
        created_at=draw(_TIMES),
        updated_at=draw(_TIMES),
        last_message_at=draw(_TIMES),
    )
    return conversation, messages


@settings(max_examples=25, deadline=None)
@given(_conversations())
def test_a_conversation_is_read_as_it_was_exported(exported: tuple[Conversation, list[Message]]) -> None:
    conversation, messages = exported
    text = export_head(conversation) + b",".join(message.model_dump_json().encode() for message in messages) + b"]}"
    parsed = parse_entry(RawEntry(0, text))
    assert (parsed.skipped, parsed.draft is None) == ([], False)
    assert parsed.draft
    draft, ids = parsed.draft, {str(message.id): message for message in messages}
    assert [ids[one.key] for one in draft.messages] == messages
    assert [_described(message) for message in messages] == [
        {
            "parent": one.parent,
            "turn": one.turn,
            "number": one.number,
            "role": one.role,
            "content": one.content,
            "tool_calls": one.tool_calls,
            "tool_call_id": one.tool_call_id,
            "status": one.status,
            "model": one.model,
            "created_at": one.created_at,
            "finish_reason": one.details and one.details.finish_reason,
            "usage": one.details and one.details.usage,
            "cost": one.details and one.details.cost,
        }
        for one in draft.messages
    ]
    assert (draft.title, draft.title_source, draft.archived, draft.model, draft.active, draft.metadata) == (
        conversation.title,
        conversation.title_source,
        conversation.archived,
        conversation.model,
        str(conversation.active_message_id),
        conversation.metadata,
    )
    totals = draft.totals
    assert (draft.created_at, totals.updated_at, totals.last_message_at, totals.tokens_used, totals.cost) == (
        conversation.created_at,
        conversation.updated_at,
        conversation.last_message_at,
        conversation.tokens_used,
        conversation.cost,
    )


def _described(message: Message) -> dict[str, Any]:
    members = (
        "tool_call_id",
        "number",
        "role",
        "content",
        "tool_calls",
        "status",
        "model",
        "created_at",
        "finish_reason",
        "usage",
    )
    found = {name: getattr(message, name) for name in members}
    parent, turn = message.parent_id, message.turn_id
    cost: Decimal | None = message.cost
    return {**found, "parent": parent and str(parent), "turn": turn and str(turn), "cost": cost}
