"""Imports: slots, bounds, and what stops one."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable

import orjson
import pytest

from history.transfer import entry_scanner
from history.transfer.import_service import MAX_CONCURRENT_IMPORTS, MAX_CONCURRENT_UPLOADS, SLOT_TIMEOUT
from history_testing.imports import BlockingImportStore, ForgetfulImportStore, ImportFixture, conversation
from parley.errors import Draining, InvalidRequest, Overloaded, ValidationFailed
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.virtual_time import virtual_time


async def _endless_body(reads: list[int]) -> AsyncIterator[bytes]:
    while True:
        reads.append(1)
        yield b"["
        await asyncio.sleep(0)


async def _slow_body(begun: list[int], rest: asyncio.Event) -> AsyncIterator[bytes]:
    begun.append(1)
    await rest.wait()
    yield orjson.dumps(conversation())


async def test_imports_beyond_the_limit_are_refused_after_the_slot_timeout() -> None:
    store = BlockingImportStore()
    fixture = ImportFixture(store, slot_timeout=0.01)
    body = orjson.dumps(conversation())
    running = [asyncio.create_task(fixture.run(body, user=new_id())) for _ in range(MAX_CONCURRENT_IMPORTS)]
    await eventually(lambda: store.entered == MAX_CONCURRENT_IMPORTS)
    with pytest.raises(Overloaded):
        await fixture.run(body)
    store.release.set()
    await asyncio.gather(*running)
    await fixture.run(body)


async def test_bodies_beyond_the_limit_of_uploads_are_not_read() -> None:
    fixture, rest, begun, reads = ImportFixture(slot_timeout=0.01), asyncio.Event(), list[int](), list[int]()
    slow = [
        asyncio.create_task(fixture.run(_slow_body(begun, rest), user=new_id())) for _ in range(MAX_CONCURRENT_UPLOADS)
    ]
    await eventually(lambda: len(begun) == MAX_CONCURRENT_UPLOADS)
    with pytest.raises(Overloaded):
        await fixture.run(_endless_body(reads))
    assert not reads
    await _cancel(slow)


async def test_slow_uploads_do_not_block_the_imports_of_others() -> None:
    fixture, rest, begun = ImportFixture(slot_timeout=5), asyncio.Event(), list[int]()
    count = MAX_CONCURRENT_UPLOADS - 1
    slow = [asyncio.create_task(fixture.run(_slow_body(begun, rest), user=new_id())) for _ in range(count)]
    await eventually(lambda: len(begun) == count)
    report, _ = await fixture.run(orjson.dumps(conversation()))
    assert len(report.imported) == 1
    await _cancel(slow)


async def _cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_user_has_one_slot() -> None:
    store = BlockingImportStore()
    fixture = ImportFixture(store, slot_timeout=0.01)
    running = asyncio.create_task(fixture.run(orjson.dumps(conversation())))
    await eventually(lambda: store.entered == 1)
    with pytest.raises(Overloaded):
        await fixture.run(orjson.dumps(conversation()))
    store.release.set()
    await fixture.run(orjson.dumps(conversation()), user=new_id())
    await running


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"[" + b"{}," * entry_scanner.MAX_ENTRIES + b"{}]", False),
        (b"{}\n" * (entry_scanner.MAX_ENTRIES + 1), True),
    ],
)
async def test_a_file_with_too_many_parts_is_refused_before_anything_is_stored(body: bytes, lines: bool) -> None:
    fixture = ImportFixture()
    with pytest.raises(ValidationFailed) as error:
        await fixture.run(body, lines=lines)
    assert error.value.errors[0].code == "too_long"
    assert not fixture.store.drafts


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (b'{"format":"' + b"x" * entry_scanner.MAX_ENTRY_BYTES + b'"}', "too_long"),
        (b"[" + b"0," * entry_scanner.MAX_ENTRY_TOKENS + b"0]", "too_long"),
        (b"[" * 100 + b"]" * 100, "too_deep"),
    ],
)
async def test_an_entry_beyond_a_bound_is_skipped_and_the_others_are_imported(entry: bytes, code: str) -> None:
    fixture = ImportFixture()
    report, _ = await fixture.run(b"[" + entry + b"," + orjson.dumps(conversation()) + b"]")
    assert [(one.pointer, one.code) for one in report.skipped] == [("/0", code)]
    assert [one.index for one in report.imported] == [1]


async def test_a_large_file_takes_little_memory() -> None:
    fixture = ImportFixture(ForgetfulImportStore())
    large = conversation() | {"messages": [{"id": str(i), "role": "user", "content": "x" * 10_000} for i in range(100)]}
    body = orjson.dumps([large] * 10)
    tracemalloc.start()
    try:
        report, _ = await fixture.run(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(report.imported) == 10
    assert peak < len(body)


async def test_the_event_loop_runs_while_a_hostile_file_is_scanned_and_refused() -> None:
    # The processor time of this process, which other processes cannot lengthen.
    fixture, began, longest = ImportFixture(), time.process_time(), 0.0
    importing = asyncio.create_task(fixture.run(b'{"a":[' + b"{}," * (entry_scanner.MAX_FILE_TOKENS // 2) + b"{}]}"))
    while not importing.done():
        before = time.process_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.process_time() - before)
    with pytest.raises(ValidationFailed) as error:
        await importing
    assert error.value.errors[0].code == "too_long"
    assert not fixture.store.drafts
    assert longest < (time.process_time() - began) / 5


async def test_a_client_that_leaves_ends_its_import() -> None:
    fixture = ImportFixture()
    fixture.client_left = True
    with pytest.raises(InvalidRequest):
        await fixture.run(orjson.dumps([conversation()]))
    assert not fixture.store.drafts


async def test_a_drain_ends_an_import_and_the_report_says_where() -> None:
    store = BlockingImportStore()
    fixture = ImportFixture(store)
    running = asyncio.create_task(fixture.run(orjson.dumps([conversation(str(i)) for i in range(5)]), key="a"))
    await eventually(lambda: store.entered == 1)
    fixture.drain_started.set()
    store.release.set()
    report, replayed = await running
    assert ([one.index for one in report.imported], replayed) == ([0], False)
    assert [(one.index, one.pointer, one.code) for one in report.skipped] == [(1, "/1", "not_imported")]
    with pytest.raises(Draining):
        await fixture.run(orjson.dumps([conversation()]))


async def test_an_upload_that_takes_too_long_is_refused() -> None:
    fixture = ImportFixture(import_timeout=0.05)
    with pytest.raises(Overloaded):
        await fixture.run(_endless_body([]))


@virtual_time
async def test_a_slow_upload_ends_when_all_slots_are_taken_and_another_user_waits() -> None:
    fixture, rest, begun = ImportFixture(slot_timeout=SLOT_TIMEOUT), asyncio.Event(), list[int]()
    slow = [
        asyncio.create_task(fixture.run(_slow_body(begun, rest), user=new_id())) for _ in range(MAX_CONCURRENT_UPLOADS)
    ]

    await eventually(lambda: len(begun) == MAX_CONCURRENT_UPLOADS)

    async def body() -> AsyncIterator[bytes]:
        raise InvalidRequest("The body was read.")
        yield b""

    with pytest.raises(InvalidRequest, match=r"The body was read\."):
        await fixture.run(body())
    (ended,) = [task.exception() for task in slow if task.done()]
    assert isinstance(ended, Overloaded)
    await _cancel(slow)
