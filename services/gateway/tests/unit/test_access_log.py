"""Access log: lines written in batches."""

import datetime as dt

import orjson

from gateway.observability.access_log import MAX_BATCH, AccessLog
from parley_testing import eventually


async def test_lines_are_written_together_after_a_while() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append, service="gateway")
    for number in range(3):
        log.add({"number": number})
    assert writes == []
    await eventually(lambda: writes)
    lines = [orjson.loads(line) for line in writes[0].splitlines()]
    assert [line["number"] for line in lines] == [0, 1, 2]
    assert {(line["level"], line["event"], line["service"]) for line in lines} == {("info", "request", "gateway")}
    written = dt.datetime.fromisoformat(lines[0]["ts"])
    assert abs(dt.datetime.now(dt.UTC) - written) < dt.timedelta(minutes=1)


async def test_a_full_batch_is_written_at_once() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append, service="gateway")
    for number in range(MAX_BATCH):
        log.add({"number": number})
    assert len(writes) == 1
    assert writes[0].count(b"\n") == MAX_BATCH


def test_flushing_without_lines_writes_nothing() -> None:
    writes: list[bytes] = []
    AccessLog(writes.append, service="gateway").flush()
    assert writes == []
