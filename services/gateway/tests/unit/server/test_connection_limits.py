"""Limits on client connections: in total, per address, and which connection makes room for a new one."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

from gateway.access.client_addresses import ClientAddresses
from gateway.server.connection_limits import IDLE_TIMEOUT, MAX_REFUSED, SHORT_IDLE_TIMEOUT, ConnectionLimits


class ClosableTransport:
    closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@dataclass(eq=False)
class CountedConnection:
    transport: asyncio.Transport = field(default_factory=lambda: cast("asyncio.Transport", ClosableTransport()))

    @property
    def closed(self) -> bool:
        return self.transport.is_closing()


def limits(*, total: int = 100, per_address: int = 100, trusted: tuple[str, ...] = ()) -> ConnectionLimits:
    addresses = ClientAddresses(trusted, per_minute=1)
    return ConnectionLimits(total=total, per_address=per_address, subject_of=addresses.connection_subject)


def admit(limited: ConnectionLimits, peer: str, *, count: int = 1, busy: bool = False) -> list[CountedConnection]:
    """Admit connections; fail if one is refused."""
    connections = [CountedConnection() for _ in range(count)]
    for connection in connections:
        assert limited.admit(connection, peer) is None
        if busy:
            limited.mark_busy(connection)
    return connections


def closed(connections: list[CountedConnection]) -> list[bool]:
    return [connection.closed for connection in connections]


def test_an_address_over_its_limit_loses_its_own_longest_idle_connection() -> None:
    limited = limits(per_address=3)
    own, other = admit(limited, "10.0.0.1", count=3), admit(limited, "10.0.0.2")
    limited.mark_busy(own[0])
    limited.mark_idle(own[0])
    admit(limited, "10.0.0.1")
    assert closed(own) == [False, True, False]
    assert closed(other) == [False]
    assert len(limited) == 4


def test_an_address_whose_connections_are_all_busy_is_refused_and_others_are_not() -> None:
    limited = limits(per_address=3)
    own = admit(limited, "10.0.0.1", count=3, busy=True)
    error = limited.admit(CountedConnection(), "10.0.0.1")
    assert error is not None
    assert (error.status, error.code, error.headers["Retry-After"]) == (429, "rate_limited", "1")
    admit(limited, "10.0.0.2", count=3, busy=True)
    limited.release(own[0])
    admit(limited, "10.0.0.1")


def test_the_addresses_of_an_ipv6_network_share_their_limit() -> None:
    limited = limits(per_address=3)
    for host in range(3):
        admit(limited, f"2001:db8::{host}", busy=True)
    assert limited.admit(CountedConnection(), "2001:db8::ffff:0:1") is not None
    assert limited.admit(CountedConnection(), "::ffff:10.0.0.1") is None
    admit(limited, "2001:db8:0:1::1")


def test_a_full_server_closes_the_longest_idle_connection_of_all() -> None:
    limited = limits(total=3)
    first, second, third = (admit(limited, f"10.0.0.{host}")[0] for host in range(3))
    limited.mark_busy(first)
    admit(limited, "10.0.0.9")
    assert closed([first, second, third]) == [False, True, False]
    admit(limited, "10.0.0.9")
    assert third.closed


def test_a_server_full_of_busy_connections_is_overloaded() -> None:
    limited = limits(total=3)
    busy = admit(limited, "10.0.0.1", count=3, busy=True)
    error = limited.admit(CountedConnection(), "10.0.0.2")
    assert error is not None
    assert (error.status, error.code) == (503, "overloaded")
    limited.mark_idle(busy[1])
    admit(limited, "10.0.0.2")
    assert closed(busy) == [False, True, False]


def test_trusted_proxies_count_in_total_only() -> None:
    limited = limits(total=5, per_address=2, trusted=("10.0.0.0/8",))
    admit(limited, "10.0.0.1", count=5, busy=True)
    assert limited.admit(CountedConnection(), "10.0.0.1") is not None


def test_idle_connections_are_closed_earlier_while_many_are_open() -> None:
    limited = limits(total=100, per_address=4)
    (other,) = admit(limited, "10.0.0.1")
    own = admit(limited, "10.0.0.2", count=2)
    assert limited.idle_timeout(own[0]) == IDLE_TIMEOUT
    admit(limited, "10.0.0.2")
    assert limited.idle_timeout(own[0]) == SHORT_IDLE_TIMEOUT
    assert limited.idle_timeout(other) == IDLE_TIMEOUT
    for host in range(3, 50):
        admit(limited, f"10.0.0.{host}")
    assert limited.idle_timeout(other) == SHORT_IDLE_TIMEOUT


def test_refused_connections_are_closed_at_once_when_there_are_many() -> None:
    limited = limits(per_address=1)
    admit(limited, "10.0.0.1", busy=True)
    refused = [CountedConnection() for _ in range(MAX_REFUSED + 1)]
    for connection in refused:
        assert not limited.too_many_refused(connection)
        limited.admit(connection, "10.0.0.1")
    assert limited.too_many_refused(refused[-1])
    limited.release(refused[0])
    assert not limited.too_many_refused(refused[-1])


def test_released_connections_leave_nothing_behind() -> None:
    limited = limits()
    for connection in admit(limited, "10.0.0.1", count=5, busy=True):
        limited.release(connection)
        limited.mark_idle(connection)
    assert len(limited) == 0
    assert not limited._by_subject
    assert not limited._idle
