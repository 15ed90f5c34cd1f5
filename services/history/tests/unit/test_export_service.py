"""Exports as JSON and Markdown."""

import asyncio
from datetime import timedelta
from uuid import UUID

import orjson
import pytest

from history.change_notifier.notifier import ChangeNotifier
from history.conversations.service import ConversationService
from history.messages.store import MessagePosition, MessageStore
from history.transfer.content_disposition import content_disposition
from history.transfer.export_service import MAX_READS, PAGE_SIZE, ExportFormat, ExportService
from history_testing.in_memory_stores import InMemoryConversationStore, InMemoryHistory, InMemoryMessageStore
from history_testing.turn_events import SampleTurn
from parley.ids import new_id


class ExportFixture:
    def __init__(self, *turns: SampleTurn) -> None:
        self.history = InMemoryHistory()
        self.history.add(*turns)
        self.service = self.exports(InMemoryMessageStore(self.history))

    def exports(self, messages: MessageStore) -> ExportService:
        store = InMemoryConversationStore(self.history)
        conversations = ConversationService(
            store, ChangeNotifier(), retention=lambda _plan: timedelta(days=30), wake_relay=lambda: None
        )
        return ExportService(conversations, store, messages)

    async def export(self, turn: SampleTurn, export_format: ExportFormat) -> bytes:
        conversation = await self.service.find(turn.user_id, turn.conversation_id)
        return b"".join([part async for part in self.service.write(turn.user_id, conversation, export_format)])


async def test_json_holds_every_branch_of_a_conversation_longer_than_a_page() -> None:
    turns = [SampleTurn()]
    for _ in range(PAGE_SIZE):
        turns.append(turns[-1].next())
    turns.append(turns[0].regenerated(number=PAGE_SIZE + 2))
    exported = orjson.loads(await ExportFixture(*turns).export(turns[0], "json"))
    assert exported["format"] == "parley.conversation/1"
    assert exported["conversation"]["id"] == str(turns[0].conversation_id)
    assert len({message["id"] for message in exported["messages"]}) == 2 * (PAGE_SIZE + 1) + 1


async def test_markdown_holds_the_active_branch_oldest_message_first() -> None:
    first = SampleTurn(question="Hello")
    fixture = ExportFixture(first, first.regenerated(answer="Better"))
    assert (await fixture.export(first, "markdown")).decode() == (
        "# Hello\n\n## You · 2026-11-22T10:00:10.123Z\n\nHello\n\n## Assistant · 2026-11-22T10:00:22.123Z\n\nBetter\n"
    )


async def test_everything_is_one_line_for_each_conversation_of_the_user() -> None:
    mine = [SampleTurn(user_id=new_id())]
    mine += [SampleTurn(mine[0].user_id) for _ in range(PAGE_SIZE + 1)]
    fixture = ExportFixture(*mine, SampleTurn())
    body = b"".join([part async for part in fixture.service.everything(mine[0].user_id)])
    ids = {orjson.loads(line)["conversation"]["id"] for line in body.splitlines()}
    assert ids == {str(turn.conversation_id) for turn in mine}


async def test_a_conversation_that_is_deleted_during_an_export_is_not_part_of_it() -> None:
    mine = [SampleTurn(question="One")]
    mine.append(SampleTurn(mine[0].user_id, question="Two"))
    fixture = ExportFixture(*mine)
    export = fixture.service.everything(mine[0].user_id)
    first = await anext(export)
    (other,) = (turn for turn in mine if str(turn.conversation_id).encode() not in first)
    fixture.history.delete(other.conversation_id)
    lines = (first + b"".join([part async for part in export])).splitlines()
    assert len(lines) == 1
    assert len(orjson.loads(lines[0])["messages"]) == 2


async def test_the_rest_of_a_conversation_that_is_deleted_during_its_export_is_not_sent() -> None:
    turns = [SampleTurn()]
    for _ in range(PAGE_SIZE):
        turns.append(turns[-1].next())
    fixture = ExportFixture(*turns)
    conversation = await fixture.service.find(turns[0].user_id, turns[0].conversation_id)
    export = fixture.service.write(turns[0].user_id, conversation, "json")
    sent = [await anext(export), await anext(export)]
    fixture.history.delete(conversation.id)
    sent += [part async for part in export]
    assert len(orjson.loads(b"".join(sent))["messages"]) == PAGE_SIZE


@pytest.mark.parametrize(
    ("title", "header"),
    [
        ('Grüße / "x"', "filename=\"Grue-x.md\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20-%20-x.md"),
        ("你好", "filename=\"conversation.md\"; filename*=UTF-8''%E4%BD%A0%E5%A5%BD.md"),
        ("../..", "filename=\"conversation.md\"; filename*=UTF-8''conversation.md"),
    ],
)
async def test_the_file_is_named_after_the_title_without_characters_that_paths_forbid(title: str, header: str) -> None:
    turn = SampleTurn(question=title)
    conversation = await ExportFixture(turn).service.find(turn.user_id, turn.conversation_id)
    assert content_disposition(conversation, "md") == f"attachment; {header}"


async def test_the_exports_of_one_user_do_not_hold_up_those_of_another() -> None:
    busy, other = SampleTurn(), SampleTurn(user_id=new_id())
    fixture = ExportFixture(busy, other)
    messages = SlowMessages(fixture.history)
    service = fixture.exports(messages)

    async def export(turn: SampleTurn) -> None:
        conversation = await service.find(turn.user_id, turn.conversation_id)
        async for _ in service.write(turn.user_id, conversation, "json"):
            pass

    await asyncio.gather(*(export(busy) for _ in range(5)), export(other))
    assert messages.most_at_once == MAX_READS
    assert messages.read.index(other.conversation_id) <= MAX_READS


class SlowMessages(InMemoryMessageStore):
    """Counts the pages that are read at the same time."""

    def __init__(self, history: InMemoryHistory) -> None:
        super().__init__(history)
        self.read: list[UUID] = []
        self.reading = self.most_at_once = 0

    async def tree(
        self, conversation_id: UUID, after: MessagePosition | None, *, descending: bool, limit: int
    ) -> list[UUID]:
        self.read.append(conversation_id)
        self.reading += 1
        self.most_at_once = max(self.most_at_once, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        return await super().tree(conversation_id, after, descending=descending, limit=limit)
