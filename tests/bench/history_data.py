"""Rows of a large history: 1,000 users, one with 50,000 messages, a long conversation, one of branches."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

from history_text import TextSource  # type: ignore[import-not-found]

USERS = 1_000
LARGEST, LINE, BRANCHES, BRANCH_LENGTH = 50_000, 10_000, 500, 200
"""Messages of the largest user and of the long conversation; branches, and messages of each."""
CONVERSATION = 20
"""Messages of an ordinary conversation."""
QUESTION_WORDS, ANSWER_WORDS = 14, 55
CHINESE_EVERY = 4
"""One of so many conversations is Chinese."""
BEGIN, PERIOD = datetime(2025, 1, 1, tzinfo=UTC), timedelta(days=600)


class MessageRow(NamedTuple):
    """A row of the table `messages`, without what follows from it."""

    id: UUID
    conversation_id: UUID
    user_id: UUID
    turn_id: UUID
    number: int
    parent_id: UUID | None
    role: str
    content: str
    created_at: datetime


@dataclass
class Landmarks:
    """The users and conversations that are measured."""

    users: list[UUID]
    line: UUID
    branches: UUID

    @property
    def largest(self) -> UUID:
        return self.users[0]

    @property
    def line_owner(self) -> UUID:
        return self.users[1]

    @property
    def branches_owner(self) -> UUID:
        return self.users[2]


@dataclass
class Generator:
    """Makes conversations, the same ones for the same seed."""

    total: int
    seed: int = 20_260_101
    random: Random = field(init=False)
    landmarks: Landmarks = field(init=False)

    def __post_init__(self) -> None:
        self.random, self._text = Random(self.seed), TextSource(self.seed)
        users = [self._id(BEGIN) for _ in range(USERS)]
        self.landmarks = Landmarks(users, line=self._id(BEGIN), branches=self._id(BEGIN))

    def conversations(self) -> Iterator[list[MessageRow]]:
        """Yield the messages of one conversation after the other."""
        marks = self.landmarks
        largest, line = min(LARGEST, self.total // 2), min(LINE, self.total // 10)
        branches = min(BRANCHES, self.total // 2_000)
        yield self._line(marks.line_owner, marks.line, line)
        yield self._branches(marks.branches_owner, marks.branches, branches)
        rest = max(0, self.total - line - branches * BRANCH_LENGTH)
        yield from self._library(marks.largest, min(largest, rest))
        weights = [1 / (rank + 20) for rank in range(USERS - 1)]
        each = max(0, rest - largest) / sum(weights)
        for user, weight in zip(marks.users[1:], weights, strict=True):
            yield from self._library(user, round(weight * each))

    def _library(self, user: UUID, messages: int) -> Iterator[list[MessageRow]]:
        """Yield ordinary conversations of a user with so many messages together, in the order of time."""
        left = messages
        while left > 1:
            size = min(left, 2 * max(1, round(self.random.expovariate(2 / CONVERSATION))))
            yield self._line(user, None, size, BEGIN + PERIOD * (1 - left / messages))
            left -= size

    def _line(
        self, user: UUID, conversation: UUID | None, messages: int, began: datetime | None = None
    ) -> list[MessageRow]:
        began = began or self._moment()
        conversation = conversation or self._id(began)
        return list(self._turns(user, conversation, None, itertools.count(1), messages // 2, began))

    def _branches(self, user: UUID, conversation: UUID, branches: int) -> list[MessageRow]:
        """Return a conversation whose branches begin at random answers of the branches before."""
        began, numbers, rows = self._moment(), itertools.count(1), list[MessageRow]()
        for _ in range(branches):
            answers = [row for row in rows[-40 * BRANCH_LENGTH :] if row.role == "assistant"]
            above = self.random.choice(answers).id if answers else None
            rows += self._turns(user, conversation, above, numbers, BRANCH_LENGTH // 2, began)
        return rows

    def _turns(
        self, user: UUID, conversation: UUID, above: UUID | None, numbers: Iterator[int], turns: int, began: datetime
    ) -> Iterator[MessageRow]:
        chinese = self.random.randrange(CHINESE_EVERY) == 0
        for _ in range(turns):
            number = next(numbers)
            asked = began + timedelta(seconds=60 * number)
            answered = asked + timedelta(seconds=20)
            question, answer = self._id(asked), self._id(answered)
            text = self._text.message(chinese=chinese, words=QUESTION_WORDS)
            yield MessageRow(question, conversation, user, answer, number, above, "user", text, asked)
            text = self._text.message(chinese=chinese, words=ANSWER_WORDS)
            yield MessageRow(answer, conversation, user, answer, number, question, "assistant", text, answered)
            above = answer

    def _moment(self) -> datetime:
        return BEGIN + PERIOD * self.random.random()

    def _id(self, moment: datetime) -> UUID:
        """Return a UUID of version 7."""
        milliseconds = int(moment.timestamp() * 1000)
        high, low = self.random.getrandbits(12), self.random.getrandbits(62)
        return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 2 << 62 | low)
