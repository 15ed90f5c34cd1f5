"""Lifecycle states and open requests."""

import asyncio

import pytest

from parley.web.lifecycle import HANG_TIMEOUT, Lifecycle
from parley_testing.virtual_time import virtual_time


def test_a_wired_service_without_a_server_is_ready() -> None:
    assert Lifecycle().state == "starting"
    lifecycle = Lifecycle()
    lifecycle.mark_wired()
    assert lifecycle.state == "ready"


def test_a_service_with_a_server_is_ready_when_the_server_listens() -> None:
    lifecycle = Lifecycle()
    lifecycle.expect_server()
    states = []
    for step in (lifecycle.mark_wired, lifecycle.mark_ready):
        step()
        states.append(lifecycle.state)
    assert states == ["starting", "ready"]


def test_draining_notifies_open_streams() -> None:
    lifecycle = Lifecycle()
    assert not lifecycle.drain_started.is_set()
    lifecycle.start_draining()
    assert lifecycle.state == "draining"
    assert lifecycle.drain_started.is_set()


def test_a_loop_without_ticks_is_not_alive() -> None:
    lifecycle = Lifecycle()
    assert lifecycle.alive()
    lifecycle.last_tick -= HANG_TIMEOUT + 1
    assert not lifecycle.alive()


@virtual_time
async def test_waiting_for_open_requests_ends_when_the_last_one_finishes() -> None:
    lifecycle = Lifecycle()
    loop = asyncio.get_running_loop()
    lifecycle.begin_request()
    lifecycle.begin_request()
    loop.call_later(1, lifecycle.end_request)
    loop.call_later(2, lifecycle.end_request)
    assert await lifecycle.wait_idle(10)
    assert loop.time() == pytest.approx(2)


@virtual_time
async def test_waiting_for_open_requests_ends_after_the_timeout() -> None:
    lifecycle = Lifecycle()
    with lifecycle.request():
        assert not await lifecycle.wait_idle(10)
    assert await lifecycle.wait_idle(0)
