"""Rules of listing, changing and deleting conversations."""

from datetime import timedelta

import pytest

from history.change_notifier.notifier import ChangeNotifier
from history.conversations.schemas import ConversationPatch
from history.conversations.service import ConversationService
from history.conversations.store import ConversationFilter
from history.conversations.title_search import MAX_TITLES
from history.errors import ConversationNotFound, MessageNotFound
from history_testing.in_memory_stores import InMemoryConversationStore, InMemoryHistory
from history_testing.turn_events import SampleTurn
from parley.errors import InvalidCursor, PreconditionFailed
from parley.ids import new_id

RETENTION = {"default": timedelta(days=30), "short": timedelta(days=1)}


class ConversationFixture:
    """A service over in-memory data with one conversation."""

    def __init__(self) -> None:
        self.history, self.changes = InMemoryHistory(), ChangeNotifier()
        self.turn = SampleTurn()
        self.history.add(self.turn)
        self.relay_wakes = 0
        self.service = ConversationService(
            InMemoryConversationStore(self.history),
            self.changes,
            retention=lambda plan: RETENTION[plan],
            wake_relay=self._wake_relay,
        )

    def _wake_relay(self) -> None:
        self.relay_wakes += 1


@pytest.fixture
def fixture() -> ConversationFixture:
    return ConversationFixture()


async def test_a_conversation_of_another_user_is_not_found(fixture: ConversationFixture) -> None:
    with pytest.raises(ConversationNotFound):
        await fixture.service.get(new_id(), fixture.turn.conversation_id)


async def test_an_unknown_conversation_has_no_owner(fixture: ConversationFixture) -> None:
    assert (await fixture.service.owner(fixture.turn.conversation_id)).user_id == fixture.turn.user_id
    with pytest.raises(ConversationNotFound):
        await fixture.service.owner(new_id())


async def test_creating_a_conversation_again_returns_it_and_to_others_it_does_not_exist(
    fixture: ConversationFixture,
) -> None:
    user_id, conversation_id = fixture.turn.user_id, new_id()
    created, new = await fixture.service.create(user_id, conversation_id)
    assert (created.id, new, fixture.relay_wakes) == (conversation_id, True, 1)
    assert await fixture.service.create(user_id, conversation_id) == (created, False)
    with pytest.raises(ConversationNotFound):
        await fixture.service.create(new_id(), conversation_id)


async def test_a_deleted_conversation_is_not_created_again(fixture: ConversationFixture) -> None:
    await fixture.service.delete(fixture.turn.user_id, fixture.turn.conversation_id, "short", None)
    with pytest.raises(ConversationNotFound):
        await fixture.service.create(fixture.turn.user_id, fixture.turn.conversation_id)


async def test_pages_show_every_conversation_once_and_the_last_has_no_cursor(fixture: ConversationFixture) -> None:
    turns = [SampleTurn(fixture.turn.user_id, number=n, question=f"Number {n}") for n in (2, 3, 4)]
    fixture.history.add(*turns)
    wanted, titles, cursor = ConversationFilter(fixture.turn.user_id), list[str | None](), None
    for _ in range(4):
        page = await fixture.service.page(wanted, cursor, 1)
        titles += [one.title for one in page.data]
        cursor = page.next_cursor
    assert (titles, cursor) == (["Number 4", "Number 3", "Number 2", fixture.turn.question], None)


async def test_a_search_for_titles_ends_its_page_at_a_bound_and_its_cursor_continues_it(
    fixture: ConversationFixture,
) -> None:
    user_id = fixture.turn.user_id
    fixture.history.add(*(SampleTurn(user_id, question="Pears") for _ in range(MAX_TITLES)))
    fixture.history.add(SampleTurn(user_id, number=2, question="Newest apples"))
    wanted = ConversationFilter(user_id, title_part=fixture.turn.question)
    first = await fixture.service.page(wanted, None, 10)
    assert first.data == []
    second = await fixture.service.page(wanted, first.next_cursor, 10)
    assert ([one.id for one in second.data], second.next_cursor) == ([fixture.turn.conversation_id], None)
    newest = await fixture.service.page(ConversationFilter(user_id, title_part="apples"), None, 10)
    assert [one.title for one in newest.data] == ["Newest apples"]


async def test_pages_of_titles_show_every_match_once(fixture: ConversationFixture) -> None:
    user_id = fixture.turn.user_id
    fixture.history.add(*(SampleTurn(user_id, question=f"{'Pears' if n % 3 else 'Apples'} {n}") for n in range(30)))
    wanted, titles, cursor = ConversationFilter(user_id, title_part="apples"), set[str | None](), None
    for _ in range(4):
        page = await fixture.service.page(wanted, cursor, 3)
        assert not titles & {one.title for one in page.data}
        titles |= {one.title for one in page.data}
        cursor = page.next_cursor
    assert (titles, cursor) == ({f"Apples {n}" for n in range(0, 30, 3)}, None)


async def test_a_cursor_belongs_to_its_filter(fixture: ConversationFixture) -> None:
    fixture.history.add(SampleTurn(fixture.turn.user_id, number=2))
    page = await fixture.service.page(ConversationFilter(fixture.turn.user_id), None, 1)
    with pytest.raises(InvalidCursor):
        await fixture.service.page(ConversationFilter(fixture.turn.user_id, "all"), page.next_cursor, 1)


async def test_a_change_wakes_the_relay_and_the_readers_of_the_feed(fixture: ConversationFixture) -> None:
    turn = fixture.turn
    with fixture.changes.watch_feed(turn.user_id) as feed:
        patch = ConversationPatch(title="Mine", archived=True)
        updated = await fixture.service.patch(turn.user_id, turn.conversation_id, patch, '"1"')
        assert feed.is_set()
    assert (updated.title, updated.archived, updated.version) == ("Mine", True, 2)
    assert (fixture.history.updates, fixture.relay_wakes) == ([{"title": "Mine", "archived": True}], 1)


async def test_a_patch_that_changes_nothing_stores_no_event(fixture: ConversationFixture) -> None:
    turn = fixture.turn
    patch = ConversationPatch(archived=False, metadata={})
    found = await fixture.service.patch(turn.user_id, turn.conversation_id, patch, None)
    assert (found.version, fixture.history.updates, fixture.relay_wakes) == (1, [], 0)


async def test_choosing_the_automatic_title_or_the_active_message_is_a_change(fixture: ConversationFixture) -> None:
    turn = fixture.turn
    for patch in (ConversationPatch(title=turn.question), ConversationPatch(active_message_id=turn.turn_id)):
        await fixture.service.patch(turn.user_id, turn.conversation_id, patch, None)
    assert fixture.history.updates == [{"title": turn.question}, {"active_message_id": str(turn.turn_id)}]
    again = ConversationPatch(title=turn.question)
    await fixture.service.patch(turn.user_id, turn.conversation_id, again, None)
    assert len(fixture.history.updates) == 2


async def test_only_a_message_of_the_conversation_can_be_made_active(fixture: ConversationFixture) -> None:
    turn = fixture.turn
    with pytest.raises(MessageNotFound):
        await fixture.service.patch(
            turn.user_id, turn.conversation_id, ConversationPatch(active_message_id=new_id()), None
        )
    assert fixture.relay_wakes == 0


@pytest.mark.parametrize("if_match", [None, "*", '"1"', ' "7", "1" '])
async def test_a_matching_version_may_be_changed(fixture: ConversationFixture, if_match: str | None) -> None:
    turn = fixture.turn
    updated = await fixture.service.patch(turn.user_id, turn.conversation_id, ConversationPatch(title="Mine"), if_match)
    assert updated.title == "Mine"


@pytest.mark.parametrize("if_match", ['"2"', "1", "", 'W/"1"'])
async def test_another_version_is_neither_changed_nor_deleted(fixture: ConversationFixture, if_match: str) -> None:
    turn = fixture.turn
    with pytest.raises(PreconditionFailed):
        await fixture.service.patch(turn.user_id, turn.conversation_id, ConversationPatch(title="Mine"), if_match)
    with pytest.raises(PreconditionFailed):
        await fixture.service.delete(turn.user_id, turn.conversation_id, "default", if_match)
    assert (fixture.history.updates, fixture.history.deletions) == ([], [])


@pytest.mark.parametrize("plan", ["default", "short"])
async def test_a_deleted_conversation_is_purged_after_the_retention_of_the_plan(
    fixture: ConversationFixture, plan: str
) -> None:
    turn = fixture.turn
    with fixture.changes.watch_feed(turn.user_id) as feed:
        await fixture.service.delete(turn.user_id, turn.conversation_id, plan, None)
        assert feed.is_set()
    (event,) = fixture.history.deletions
    assert (event.user_id, event.purge_after - event.deleted_at) == (turn.user_id, RETENTION[plan])
    with pytest.raises(ConversationNotFound):
        await fixture.service.delete(turn.user_id, turn.conversation_id, plan, None)
    assert fixture.relay_wakes == 1
