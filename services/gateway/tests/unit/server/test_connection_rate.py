"""Rate of new connections per address."""

from gateway.access.client_addresses import ClientAddresses
from gateway.server import connection_rate
from gateway.server.connection_limits import ConnectionLimits
from gateway.server.connection_rate import CONNECTION_BURST, CONNECTIONS_PER_SECOND, ConnectionRate
from parley_testing.fakes.manual_clock import ManualClock


def test_an_address_may_open_a_burst_and_then_its_rate() -> None:
    clock = ManualClock()
    rate = ConnectionRate(clock)
    assert [rate.take("a") for _ in range(CONNECTION_BURST + 1)] == [True] * CONNECTION_BURST + [False]
    assert rate.take("b")
    clock.now += 1
    assert [rate.take("a") for _ in range(CONNECTIONS_PER_SECOND + 20)].count(True) == CONNECTIONS_PER_SECOND
    clock.now += 60
    assert [rate.take("a") for _ in range(CONNECTION_BURST + 1)].count(True) == CONNECTION_BURST


def test_a_bounded_number_of_addresses_is_remembered() -> None:
    rate = ConnectionRate(ManualClock())
    for number in range(connection_rate.MAX_TRACKED_ADDRESSES + 10):
        rate.take(str(number))
    assert len(rate) == connection_rate.MAX_TRACKED_ADDRESSES


def test_ipv6_networks_share_a_rate_and_proxies_have_none() -> None:
    subject_of = ClientAddresses(["10.0.0.0/8"], per_minute=1).connection_subject
    limits = ConnectionLimits(total=1, per_address=1, subject_of=subject_of, clock=ManualClock())
    count = CONNECTION_BURST + 50
    assert any(limits.too_frequent(f"2001:db8::{number:x}") for number in range(count))
    assert not limits.too_frequent("2001:db8:0:1::1")
    for exempt in ("10.1.2.3", "127.0.0.1", "::1", ""):
        assert not any(limits.too_frequent(exempt) for _ in range(count))
