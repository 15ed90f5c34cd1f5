"""Contract of the conversation, message and turn stores: subclass it and give it a ``stores`` fixture."""

import hashlib
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from history.conversations.store import ConversationFilter, ConversationStore
from history.messages.store import MAX_SIBLING_IDS, BranchQuery, MessagePage, MessagePosition, MessageStore
from history.turns.store import TurnLookup
from history_testing.turn_events import SampleTurn
from parley.ids import new_id
from parley.times import now
from parley_events.models import ConversationDeleted


class AddTurns(Protocol):
    """Stores turns as they are after their terminal events."""

    async def __call__(self, *turns: SampleTurn) -> None: ...


@dataclass(frozen=True)
class Stores:
    """The stores under test, and the way to fill them."""

    conversations: ConversationStore
    messages: MessageStore
    turns: TurnLookup
    add: AddTurns


def _three_conversations() -> list[SampleTurn]:
    first = SampleTurn(question="Number 1")
    return [first, *(SampleTurn(first.user_id, number=n, question=f"Number {n}") for n in (2, 3))]


class HistoryStoreContract:
    async def test_a_conversation_is_found_by_its_owner_only(self, stores: Stores) -> None:
        turn = SampleTurn()
        await stores.add(turn)
        found = await stores.conversations.find(turn.user_id, turn.conversation_id)
        assert found
        assert (found.id, found.title, found.message_count) == (turn.conversation_id, turn.question, 2)
        assert await stores.conversations.find(new_id(), turn.conversation_id) is None

    async def test_pages_are_sorted_by_update_and_continue_after_a_position(self, stores: Stores) -> None:
        turns = _three_conversations()
        await stores.add(*turns)
        wanted = ConversationFilter(turns[0].user_id)
        first = await stores.conversations.page(wanted, None, 2)
        assert [one.title for one in first] == ["Number 3", "Number 2"]
        rest = await stores.conversations.page(wanted, (first[-1].updated_at, first[-1].id), 2)
        assert [one.title for one in rest] == ["Number 1"]

    async def test_filters_select_by_archive_flag_and_title(self, stores: Stores) -> None:
        turns = _three_conversations()
        await stores.add(*turns)
        user_id = turns[0].user_id
        async with stores.conversations.lock(user_id, turns[1].conversation_id) as locked:
            assert locked
            await locked.update({"archived": True})

        async def titles(**wanted: str) -> set[str | None]:
            filters = ConversationFilter(user_id, **wanted)  # type: ignore[arg-type]  # the test passes literals
            if filters.title_part is None:
                return {one.title for one in await stores.conversations.page(filters, None, 10)}
            return {one.title for one in await stores.conversations.titled(filters, None, None, 10)}

        assert await titles() == {"Number 1", "Number 3"}
        assert await titles(archived="true") == {"Number 2"}
        assert await titles(archived="all", title_part="number") == {"Number 1", "Number 2", "Number 3"}
        assert await titles(title_part="BER 3") == {"Number 3"}

    async def test_titles_are_compared_normalized_and_in_any_case(self, stores: Stores) -> None:
        first = SampleTurn(question="\u0130stanbul, STRASSE")
        await stores.add(first, SampleTurn(first.user_id, question="Cafe\u0301, o\ufb03ce, \u03a3\u0391\u03a3"))
        for part in (
            "istanbul",
            "\u0130STANBUL",
            "stra\u00dfe",
            "CAF\u00c9",
            "office",
            "\u03c3\u03b1\u03c2",
            "caf\u00ad\u00e9",
        ):
            wanted = ConversationFilter(first.user_id, title_part=part)
            assert len(await stores.conversations.titled(wanted, None, None, 10)) == 1, part

    async def test_titles_are_compared_between_two_positions(self, stores: Stores) -> None:
        turns = _three_conversations()
        await stores.add(*turns)
        wanted = ConversationFilter(turns[0].user_id, title_part="number")
        first = await stores.conversations.position(wanted, None, 1)
        second = await stores.conversations.position(wanted, first, 1)
        assert [one.title for one in await stores.conversations.titled(wanted, None, second, 10)] == [
            "Number 3",
            "Number 2",
        ]
        assert [one.title for one in await stores.conversations.titled(wanted, first, None, 1)] == ["Number 2"]
        assert await stores.conversations.position(wanted, None, 4) is None
        assert await stores.conversations.position(wanted, None, 3) is not None

    async def test_pages_by_id_show_every_conversation_once(self, stores: Stores) -> None:
        turns = _three_conversations()
        await stores.add(*turns)
        first = await stores.conversations.ids(turns[0].user_id, None, 2)
        rest = await stores.conversations.ids(turns[0].user_id, first[-1], 2)
        assert first + rest == sorted(turn.conversation_id for turn in turns)

    async def test_a_created_conversation_is_empty_and_created_once(self, stores: Stores) -> None:
        turn, conversation_id = SampleTurn(), new_id()
        await stores.add(turn)
        assert [await stores.conversations.create(turn.user_id, conversation_id, {"a": "b"}) for _ in range(2)] == [
            True,
            False,
        ]
        assert not await stores.conversations.create(new_id(), conversation_id, {})
        assert not await stores.conversations.create(turn.user_id, turn.conversation_id, {})
        found = await stores.conversations.find(turn.user_id, conversation_id)
        assert found
        assert (found.title, found.message_count, found.active_message_id, found.version) == (None, 0, None, 1)

    async def test_an_update_raises_the_version_and_makes_the_title_the_users(self, stores: Stores) -> None:
        turn = SampleTurn()
        await stores.add(turn)
        async with stores.conversations.lock(turn.user_id, turn.conversation_id) as locked:
            assert locked
            assert await locked.newest_answer(turn.turn_id) == turn.turn_id
            assert await locked.newest_answer(turn.user_message_id) == turn.turn_id
            assert await locked.newest_answer(new_id()) is None
            before = locked.conversation.version
            updated = await locked.update({"title": "Mine", "metadata": {"a": "b"}})
        assert (updated.title, updated.title_source, updated.version) == ("Mine", "user", before + 1)
        assert await stores.conversations.find(turn.user_id, turn.conversation_id) == updated

    async def test_a_deleted_conversation_is_gone_but_its_owner_stays_known(self, stores: Stores) -> None:
        turn = SampleTurn()
        await stores.add(turn)
        moment = now()
        async with stores.conversations.lock(turn.user_id, turn.conversation_id) as locked:
            assert locked
            await locked.delete(
                ConversationDeleted(
                    conversation_id=turn.conversation_id, user_id=turn.user_id, deleted_at=moment, purge_after=moment
                )
            )
        assert await stores.conversations.find(turn.user_id, turn.conversation_id) is None
        assert await stores.messages.tree(turn.conversation_id, None, descending=False, limit=10) == []
        assert await stores.messages.fetch(turn.conversation_id, [turn.turn_id], 10) == MessagePage([], 1)
        async with stores.conversations.lock(turn.user_id, turn.conversation_id) as gone:
            assert gone is None
        owner = await stores.conversations.owner(turn.conversation_id)
        assert owner
        assert (owner.user_id, owner.deleted, owner.last_number) == (turn.user_id, True, 1)
        assert owner.latest_answer_id == turn.turn_id
        assert await stores.conversations.owner(new_id()) is None
        deletions = await stores.conversations.deletions((moment, UUID(int=0)), 1)
        assert [(one.conversation_id, one.user_id) for one in deletions] == [(turn.conversation_id, turn.user_id)]
        after = (deletions[0].deleted_at, turn.conversation_id)
        assert turn.conversation_id not in {d.conversation_id for d in await stores.conversations.deletions(after, 10)}

    async def test_a_path_leads_to_the_root_and_ends_before_its_stop(self, stores: Stores) -> None:
        first = SampleTurn()
        second = first.next()
        await stores.add(first, second)
        path = [second.turn_id, second.user_message_id, first.turn_id, first.user_message_id]
        conversation = first.conversation_id
        assert await stores.messages.path(conversation, second.turn_id, None, None) == path
        assert await stores.messages.path(conversation, second.turn_id, first.turn_id, None) == path[:2]
        assert await stores.messages.path(conversation, second.turn_id, None, 3) == path[:3]
        assert await stores.messages.path(conversation, new_id(), None, None) == []
        assert await stores.messages.path_down(conversation, second.turn_id, None, 3) == path[:0:-1]
        assert await stores.messages.path_down(conversation, second.turn_id, first.turn_id, 3) == path[1::-1]
        assert await stores.messages.path_down(conversation, second.turn_id, first.turn_id, 1) == path[1:2]

    async def test_a_branch_is_read_from_its_end_up_to_a_number_of_characters_or_messages(self, stores: Stores) -> None:
        first = SampleTurn(question="1234", answer="567890")
        second = first.next(question="12", answer="345")
        await stores.add(first, second)
        ids = [second.turn_id, second.user_message_id, first.turn_id, first.user_message_id]

        async def branch(characters: int, limit: int = 10, leaf: UUID = ids[0]) -> tuple[list[UUID], bool]:
            wanted = BranchQuery(first.user_id, first.conversation_id, leaf, characters, limit)
            found = await stores.messages.branch(wanted)
            return [one.id for one in found.messages], found.more

        assert await branch(15) == (ids, False)
        assert await branch(14) == (ids[:3], True)
        assert await branch(5) == (ids[:2], True)
        assert await branch(2) == ([], True)
        assert await branch(15, limit=2) == (ids[:2], True)
        assert await branch(15, limit=4) == (ids, False)
        assert await branch(15, leaf=first.turn_id) == (ids[2:], False)
        assert await branch(15, leaf=new_id()) == ([], False)

    async def test_a_branch_is_read_for_the_owner_of_its_conversation_only(self, stores: Stores) -> None:
        turn = SampleTurn()
        await stores.add(turn)
        wanted = BranchQuery(new_id(), turn.conversation_id, turn.turn_id, 1000, 10)
        assert not (await stores.messages.branch(wanted)).messages

    async def test_messages_are_returned_in_the_order_of_their_ids_with_siblings(self, stores: Stores) -> None:
        first = SampleTurn()
        again = first.regenerated()
        await stores.add(first, again)
        wanted = [again.turn_id, new_id(), first.user_message_id]
        found = await stores.messages.fetch(first.conversation_id, wanted, 1_000)
        assert [(one.id, one.sibling_ids, one.sibling_count) for one in found.messages] == [
            (again.turn_id, [first.turn_id], 1),
            (first.user_message_id, [], 0),
        ]
        assert found.read == 3

    async def test_messages_are_read_until_their_texts_reach_a_length(self, stores: Stores) -> None:
        turn = SampleTurn(question="1234", answer="56789")
        await stores.add(turn)
        wanted = [turn.user_message_id, turn.turn_id]
        for characters, read in ((1, 1), (4, 1), (5, 2), (100, 2)):
            found = await stores.messages.fetch(turn.conversation_id, wanted, characters)
            assert ([one.id for one in found.messages], found.read) == (wanted[:read], read)

    async def test_the_siblings_of_a_message_are_bounded_and_counted(self, stores: Stores) -> None:
        first = SampleTurn()
        others = [first.regenerated(number=number) for number in range(2, MAX_SIBLING_IDS + 5)]
        await stores.add(first, *others)
        found = await stores.messages.fetch(first.conversation_id, [first.turn_id, others[-1].turn_id], 1_000)
        ids = [one.turn_id for one in (first, *others)]
        assert [one.sibling_ids for one in found.messages] == [ids[1 : MAX_SIBLING_IDS + 1], ids[:MAX_SIBLING_IDS]]
        assert [one.sibling_count for one in found.messages] == [len(others)] * 2

    async def test_the_tree_is_in_creation_order_in_both_directions(self, stores: Stores) -> None:
        first = SampleTurn()
        again = first.regenerated()
        follow = again.next()
        await stores.add(first, again, follow)
        order = [first.user_message_id, first.turn_id, again.turn_id, follow.user_message_id, follow.turn_id]
        for descending, expected in ((False, order), (True, order[::-1])):
            tree = await stores.messages.tree(first.conversation_id, None, descending=descending, limit=2)
            found = (await stores.messages.fetch(first.conversation_id, tree, 1_000)).messages[-1]
            last = MessagePosition(found.number, found.role, found.id)
            tree += await stores.messages.tree(first.conversation_id, last, descending=descending, limit=10)
            assert tree == expected

    async def test_ended_turns_are_known_with_the_digest_of_their_answer(self, stores: Stores) -> None:
        turn, unknown = SampleTurn(answer="grüße"), new_id()
        await stores.add(turn)
        assert await stores.turns.has_ended(turn.user_id, turn.conversation_id, turn.turn_id)
        assert not await stores.turns.has_ended(new_id(), turn.conversation_id, turn.turn_id)
        assert not await stores.turns.has_ended(turn.user_id, turn.conversation_id, unknown)
        assert await stores.turns.known([turn.turn_id, unknown]) == [turn.turn_id]
        digests = await stores.turns.digests([turn.turn_id, unknown])
        assert {key: one.sha256 for key, one in digests.items()} == {
            turn.turn_id: hashlib.sha256("grüße".encode()).hexdigest()
        }
