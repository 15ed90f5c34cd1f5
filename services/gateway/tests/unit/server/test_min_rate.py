"""Minimum data rate of clients."""

from gateway.server.min_rate import MIN_BYTES_PER_SECOND, MinDataRate

WINDOW = 10.0
SHARE = int(WINDOW * MIN_BYTES_PER_SECOND)


def test_a_window_without_its_share_is_too_slow() -> None:
    rate = MinDataRate(WINDOW)
    assert not rate.is_too_slow(0.0, 0)
    assert not rate.is_too_slow(WINDOW, SHARE - 1)
    assert rate.is_too_slow(WINDOW + 0.1, SHARE - 1)


def test_a_share_starts_a_new_window() -> None:
    rate = MinDataRate(WINDOW)
    for number in range(10):
        assert not rate.is_too_slow(number * WINDOW, number * SHARE)


def test_a_pause_does_not_count() -> None:
    rate = MinDataRate(WINDOW)
    assert not rate.is_too_slow(0.0, 0)
    rate.pause()
    assert not rate.is_too_slow(WINDOW * 9, 0)
    assert rate.is_too_slow(WINDOW * 10.1, 0)
