"""The pause in the calls to a dependency."""

from parley.process.outage_pause import OutagePause
from parley_testing.fakes.manual_clock import ManualClock


def test_a_dependency_is_called_again_some_seconds_after_its_last_failure() -> None:
    clock = ManualClock()
    pause = OutagePause(2, clock=clock)
    assert pause.is_over
    pause.begin()
    clock.now += 1.9
    assert not pause.is_over
    pause.begin()
    clock.now += 1.9
    assert not pause.is_over
    clock.now += 0.1
    assert pause.is_over
