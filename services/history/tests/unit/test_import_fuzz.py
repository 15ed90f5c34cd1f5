"""No value at any place of an import file breaks more than its own part."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from history.transfer import parsing
from history.transfer.entry_scanner import RawEntry
from history_testing.imports import parse_entry

_ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "user", "human", "assistant", "text", "a", "2026-11-22T10:00:00Z", "9999-12-31T23:59:59-12:00"]
    )
    | st.text(st.characters(codec="utf-8"), max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "type", "role", "id"]), inner),
    max_leaves=4,
)
_MEMBERS: dict[str, tuple[str, ...]] = {
    "conversation": ("title", "archived", "active_message_id", "metadata", "created_at", "tokens_used", "cost"),
    "parley": ("id", "parent_id", "role", "content", "tool_calls", "status", "usage", "cost", "number", "created_at"),
    "node": ("parent", "message"),
    "chatgpt": ("author", "content", "metadata", "create_time"),
    "claude": ("uuid", "sender", "text", "content", "attachments", "files", "created_at", "parent_message_uuid"),
}


def _odd(kind: str, **usual: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with one or two odd members beside the usual ones."""
    return st.dictionaries(st.sampled_from(_MEMBERS[kind]), _ODD, max_size=2).map(lambda odd: {**usual, **odd})


_PARLEY = st.builds(
    lambda conversation, messages: {
        "format": "parley.conversation/1",
        "conversation": conversation,
        "messages": messages,
    },
    _odd("conversation", title="T") | _ODD,
    st.lists(_odd("parley", id="1", role="user", content="odd") | _ODD, max_size=3),
)
_CHATGPT = st.builds(
    lambda nodes, rest: {**rest, "mapping": dict(zip("abc", nodes, strict=False))},
    st.lists(
        _odd("chatgpt", author={"role": "user"}, content={"content_type": "text", "parts": ["odd"]}).map(
            lambda message: {"parent": "a", "message": message}
        )
        | _odd("node")
        | _ODD,
        min_size=1,
        max_size=3,
    ),
    st.dictionaries(st.sampled_from(["title", "create_time", "current_node", "default_model_slug"]), _ODD, max_size=2),
)
_CLAUDE = st.builds(
    lambda messages, rest: {**rest, "chat_messages": messages},
    st.lists(_odd("claude", uuid="a", sender="human", text="odd") | _ODD, max_size=3),
    st.dictionaries(st.sampled_from(["name", "created_at", "model", "current_leaf_message_uuid"]), _ODD, max_size=2),
)
GOOD: dict[str, Any] = {
    "parley": {"id": "good", "role": "user", "content": "good"},
    "node": {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["good"]}}},
    "claude": {"uuid": "good", "sender": "human", "text": "good"},
}


@settings(max_examples=40, deadline=None)
@given(st.one_of(_PARLEY, _CHATGPT, _CLAUDE))
def test_a_good_message_beside_odd_ones_is_imported(entry: dict[str, Any]) -> None:
    if "format" in entry:
        entry["messages"].append(GOOD["parley"])
    elif "mapping" in entry:
        entry["mapping"]["good"] = GOOD["node"]
    else:
        entry["chat_messages"].append(GOOD["claude"])
    draft, skipped = parse_entry(0, entry)
    if draft is None:
        # Only a cycle, in which no message is the first, breaks the whole conversation.
        assert [one.code for one in skipped] == ["broken_tree"]
        return
    assert "good" in [message.content for message in draft.messages]
    keys = [message.key for message in draft.messages]
    assert all(message.parent is None or message.parent in keys for message in draft.messages)


@settings(max_examples=30, deadline=None)
@given(st.one_of(_PARLEY, _CHATGPT, _CLAUDE), st.integers(0, 400), st.binary(max_size=3))
def test_bytes_that_are_broken_never_raise(entry: dict[str, Any], at: int, broken: bytes) -> None:
    text = orjson.dumps(entry)
    parsed = parsing.parse_entry(RawEntry(0, text[:at] + broken + text[at + 1 :]))
    assert parsed.draft is not None or parsed.skipped
