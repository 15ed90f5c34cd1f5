"""Imports: reports and idempotency keys."""

from collections.abc import AsyncIterator

import orjson
import pytest

from history.transfer.quota import CONVERSATION_BYTES
from history.transfer.schemas import MAX_SKIPPED
from history_testing.imports import ImportFixture, RefusingImportStore, conversation
from parley.config.plans import QuotaExceeded
from parley.errors import InvalidJson, ParleyError, ValidationFailed
from parley.ids import new_id
from parley.web.idempotency_keys import IdempotencyKeyReused
from parley_testing.telemetry.captured_logs import captured_logs


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
    body = orjson.dumps([*([1] * (MAX_SKIPPED + 10)), conversation()])
    report, _ = await fixture.run(body)
    assert len(report.skipped) == MAX_SKIPPED


@pytest.mark.parametrize(
    ("body", "error"),
    [
        *((body, InvalidJson) for body in (b"", b"{", b"\xff", b"[", b"name,text", b"[{]")),
        *(
            (body, ValidationFailed)
            for body in (b'"text"', b"1", b"null", b'{"a":1}', b'[{"a":1},5]', b'{"a":"\\ud800"}')
        ),
    ],
)
async def test_a_file_in_none_of_the_formats_is_refused(body: bytes, error: type[ParleyError]) -> None:
    fixture = ImportFixture()
    with pytest.raises(error) as refused:
        await fixture.run(body)
    assert fixture.relay_wakes == 0
    if isinstance(refused.value, ValidationFailed):
        (reason,) = refused.value.errors
        assert reason.code == "unknown_format"
        for name in ("Parley", "ChatGPT", "Claude"):
            assert name in reason.detail


@pytest.mark.parametrize("body", [b"[]", b" [ ] ", b"\xef\xbb\xbf[]"])
async def test_an_empty_list_is_an_import_of_nothing(body: bytes) -> None:
    report, _ = await ImportFixture().run(body)
    assert (report.imported, report.skipped) == ([], [])


_BROKEN_ENTRIES = [
    (b'{"a":nul}', "invalid_json"),
    (b"{]", "invalid_json"),
    (b"", "invalid_json"),
    (b'{"hello":1}', "unknown_format"),
    (b"5", "unknown_format"),
    (b'{"mapping":5}', "dict_type"),
    (b"[" * 100 + b"]" * 100, "too_deep"),
]


@pytest.mark.parametrize(("broken", "code"), _BROKEN_ENTRIES)
async def test_a_broken_conversation_is_skipped_alone(broken: bytes, code: str) -> None:
    good = orjson.dumps(conversation("Good"))
    report, _ = await ImportFixture().run(b"[" + good + b"," + broken + b"," + good + b"]")
    assert [one.index for one in report.imported] == [0, 2]
    assert [(one.pointer.split("/")[1], one.code) for one in report.skipped] == [("1", code)]


async def test_a_broken_line_is_skipped_alone() -> None:
    good = orjson.dumps(conversation("Good"))
    body = b"\n".join((good, b'{"half": "a li', good, b"\xff", good[:-5]))
    report, _ = await ImportFixture().run(body, lines=True)
    assert [one.index for one in report.imported] == [0, 2]
    assert [(one.index, one.code) for one in report.skipped] == [(number, "invalid_json") for number in (1, 3, 4)]


async def test_what_arrived_of_a_file_that_breaks_off_is_imported() -> None:
    good = orjson.dumps(conversation("Good"))
    report, _ = await ImportFixture().run(b"[" + good + b"," + good[:-9])
    assert [one.index for one in report.imported] == [0]
    assert [(one.index, one.code) for one in report.skipped] == [(1, "invalid_json")]


async def test_a_conversation_that_the_database_refuses_is_skipped_alone() -> None:
    fixture = ImportFixture(RefusingImportStore("Bad"))
    with captured_logs() as logs:
        report, _ = await fixture.run(orjson.dumps([conversation("One"), conversation("Bad"), conversation("Two")]))
    assert [one.title for one in report.imported] == ["One", "Two"]
    assert [(one.pointer, one.code) for one in report.skipped] == [("/1", "not_storable")]
    (logged,) = [line for line in logs if line["event"] == "import_not_storable"]
    assert "exc_info" not in logged, "the driver's message quotes what the user imports"


ROOM_FOR_ONE = 2 * CONVERSATION_BYTES
"""A quota with room for one small conversation, and not for two."""


async def test_an_import_stops_where_the_quota_of_the_plan_is_used_up_and_says_so() -> None:
    fixture = ImportFixture(quota=ROOM_FOR_ONE)
    report, _ = await fixture.run(orjson.dumps([5, conversation("One"), 5, conversation("Two"), conversation("Three")]))
    assert [(one.index, one.title) for one in report.imported] == [(1, "One")]
    assert [(one.index, one.code) for one in report.skipped] == [
        (0, "unknown_format"),
        (2, "unknown_format"),
        (3, "quota_exceeded"),
    ]
    assert "limit of your plan" in report.skipped[-1].detail


async def test_a_full_quota_refuses_a_file_before_it_is_read_and_leaves_others_alone() -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    fixture = ImportFixture(quota=ROOM_FOR_ONE)
    await fixture.run(orjson.dumps(conversation()))
    fixture.store.counted = {key: (owner, ROOM_FOR_ONE) for key, (owner, _) in fixture.store.counted.items()}
    with pytest.raises(QuotaExceeded):
        await fixture.run(unread())
    report, _ = await fixture.run(orjson.dumps(conversation()), user=new_id())
    assert len(report.imported) == 1


async def test_a_conversation_larger_than_what_is_left_is_refused() -> None:
    fixture = ImportFixture(quota=ROOM_FOR_ONE)
    with pytest.raises(QuotaExceeded):
        await fixture.run(orjson.dumps(conversation("T" * ROOM_FOR_ONE)))
    assert not fixture.store.drafts


async def test_each_plan_has_its_own_quota() -> None:
    fixture = ImportFixture(quota=ROOM_FOR_ONE)
    with pytest.raises(QuotaExceeded):
        await fixture.run(orjson.dumps(conversation()), plan="small")


async def test_an_import_repeated_with_its_key_counts_once_and_is_answered_with_a_full_quota() -> None:
    fixture = ImportFixture(quota=3 * CONVERSATION_BYTES)
    body = orjson.dumps([conversation("One"), conversation("Two"), conversation("Three")])
    first, _ = await fixture.run(body, key="a")
    assert [one.title for one in first.imported] == ["One", "Two"]
    counted = dict(fixture.store.counted)
    again, replayed = await fixture.run(body, key="a")
    assert (again, replayed, fixture.store.counted) == (first, True, counted)
