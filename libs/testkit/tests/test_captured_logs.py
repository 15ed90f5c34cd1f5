"""Captured log entries are those of a test alone."""

import asyncio

import structlog

from parley_testing.telemetry.captured_logs import captured_logs

log = structlog.get_logger()


async def test_entries_of_tasks_of_other_tests_are_left_out() -> None:
    captured, done = asyncio.Event(), asyncio.Event()

    async def service_of_another_test() -> None:
        await captured.wait()
        log.warning("other")
        done.set()

    async def part() -> None:
        log.warning("part")

    service = asyncio.create_task(service_of_another_test())
    with captured_logs() as logs:
        captured.set()
        await done.wait()
        log.warning("test")
        await asyncio.create_task(part())
    log.warning("afterwards")
    await service
    assert [entry["event"] for entry in logs] == ["test", "part"]
