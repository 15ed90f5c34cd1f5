"""Message trees of any shape and size, stored with plain SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from parley.ids import new_id
from parley.storage.postgres import Executor

_CONVERSATION = """
INSERT INTO conversations (id, user_id, created_at, updated_at, last_turn_id, message_count)
VALUES ($1, $2, now(), now(), $3, $4)
ON CONFLICT (id) DO UPDATE SET last_turn_id = EXCLUDED.last_turn_id, message_count = EXCLUDED.message_count"""
_MESSAGES = """
INSERT INTO messages (id, conversation_id, user_id, turn_id, number, parent_id, role, content, status, created_at)
SELECT m.id, $1, $2, m.id, m.number, m.parent_id, CASE m.number % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
    'Message ' || m.number, 'completed', now()
FROM unnest($3::uuid[], $4::uuid[], $5::integer[]) AS m (id, parent_id, number)"""


@dataclass
class MessageTree:
    """A conversation whose message ``n`` has the parent ``parents[n]``, an earlier index, or None for a root."""

    parents: Sequence[int | None]
    user_id: UUID = field(default_factory=new_id)
    conversation_id: UUID = field(default_factory=new_id)
    ids: list[UUID] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = [new_id() for _ in self.parents]

    @classmethod
    def line(cls, length: int) -> "MessageTree":
        """Return messages in a line."""
        return cls([None, *range(length - 1)])

    def path(self, index: int) -> list[int]:
        """Return the indexes from the root down to a message."""
        found: list[int] = []
        current: int | None = index
        while current is not None:
            found.append(current)
            current = self.parents[current]
        return found[::-1]

    async def store(self, executor: Executor, indexes: Sequence[int] | None = None) -> None:
        """Store the messages, or some of them, with one statement, in the given order; the last one becomes active."""
        chosen = range(len(self.ids)) if indexes is None else indexes
        await executor.execute(_CONVERSATION, self.conversation_id, self.user_id, self.ids[-1], len(self.ids))
        parents = [None if (parent := self.parents[one]) is None else self.ids[parent] for one in chosen]
        numbers = [one + 1 for one in chosen]
        await executor.execute(
            _MESSAGES, self.conversation_id, self.user_id, [self.ids[one] for one in chosen], parents, numbers
        )
