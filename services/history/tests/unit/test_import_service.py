"""Imports: reports and idempotency keys."""

import orjson
import pytest

from history.errors import IdempotencyKeyReused
from history.transfer.schemas import MAX_SKIPPED
from history_testing.imports import ImportFixture, conversation
from parley.errors import InvalidJson, ValidationFailed
from parley.ids import new_id


async def test_every_conversation_is_stored_under_a_new_id_and_the_rest_is_reported() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([conversation("One"), {"hello": 1}, conversation("Two")])
    with fixture.changes.watch_feed(fixture.user_id) as feed:
        report, replayed = await fixture.run(body)
        assert feed.is_set()
    assert [(one.index, one.title, one.messages) for one in report.imported] == [(0, "One", 1), (2, "Two", 1)]
    assert [(one.pointer, one.code) for one in report.skipped] == [("/1", "unknown_format")]
    assert set(fixture.store.drafts) == {one.conversation_id for one in report.imported}
    assert (replayed, fixture.relay_wakes) == (False, 1)


async def test_lines_are_separate_conversations_and_empty_ones_are_ignored() -> None:
    fixture = ImportFixture()
    body = b"\n\n".join(orjson.dumps(conversation(title)) for title in ("One", "Two"))
    report, _ = await fixture.run(body, lines=True)
    assert [one.title for one in report.imported] == ["One", "Two"]


async def test_a_repeated_key_returns_the_same_ids_and_stores_nothing_new() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([conversation(), conversation()])
    first, replayed = await fixture.run(body, key="a")
    again, replayed_again = await fixture.run(body, key="a")
    assert (first, replayed, replayed_again) == (again, False, True)
    other, _ = await fixture.run(body, key="a", user=new_id())
    assert not {one.conversation_id for one in first.imported} & {one.conversation_id for one in other.imported}


async def test_an_interrupted_import_is_completed_by_its_repetition() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([conversation("One"), conversation("Two")])
    first, _ = await fixture.run(body, key="a")
    del fixture.store.drafts[first.imported[1].conversation_id]
    again, replayed = await fixture.run(body, key="a")
    assert (again, replayed, len(fixture.store.drafts)) == (first, False, 2)


async def test_a_key_of_another_file_is_refused() -> None:
    fixture = ImportFixture()
    await fixture.run(orjson.dumps(conversation()), key="a")
    with pytest.raises(IdempotencyKeyReused):
        await fixture.run(orjson.dumps(conversation("U")), key="a")


async def test_the_list_of_skipped_parts_is_bounded() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([1] * (MAX_SKIPPED + 10))
    report, _ = await fixture.run(body)
    assert len(report.skipped) == MAX_SKIPPED


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", InvalidJson), (b"\xff", InvalidJson), (b'"text"', ValidationFailed), (b"1", ValidationFailed)],
)
async def test_a_file_that_is_not_json_or_no_conversation_is_refused(body: bytes, error: type[Exception]) -> None:
    fixture = ImportFixture()
    with pytest.raises(error):
        await fixture.run(body)
    assert fixture.relay_wakes == 0
