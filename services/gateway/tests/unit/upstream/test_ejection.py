"""Ejection of endpoints that fail, and their probes."""

import pytest

from gateway.errors import UpstreamUnavailable
from gateway.upstream.endpoint import FAILURES_TO_EJECT, MAX_EJECTION, MIN_EJECTION, Endpoint
from gateway.upstream.failures import ConnectFailed, ConnectionBroken, ResponseTimeout
from gateway.upstream.pool import Pool, PoolLimits

REFUSED = ConnectFailed(refused=True)


def pool_of(*endpoints: Endpoint) -> Pool:
    return Pool("chat", endpoints, PoolLimits(connect_timeout=20))


def test_a_success_between_failures_prevents_an_ejection() -> None:
    endpoint = Endpoint("localhost", 1)
    for _ in range(20):
        assert not any(endpoint.record_failure(0, ConnectionBroken()) for _ in range(FAILURES_TO_EJECT - 1))
        endpoint.record_success()


def test_an_ejected_endpoint_gets_one_probe_and_longer_ejections() -> None:
    endpoint = Endpoint("localhost", 1)
    assert [endpoint.record_failure(100, ConnectionBroken()) for _ in range(FAILURES_TO_EJECT)][-1]
    first = endpoint.ejected_until - 100
    assert not endpoint.is_available(100)
    assert endpoint.is_available(100 + first)
    endpoint.probing = True
    assert not endpoint.is_available(100 + first)
    assert not endpoint.record_failure(200, ConnectionBroken()), "already known"
    assert endpoint.ejected_until - 200 > first


def test_one_crash_with_many_open_requests_is_one_ejection() -> None:
    endpoint = Endpoint("localhost", 1)
    assert sum(endpoint.record_failure(100, ConnectionBroken()) for _ in range(50)) == 1
    assert endpoint.ejected_until < 100 + 2 * MIN_EJECTION


def test_without_an_alternative_no_request_waits_for_a_probe() -> None:
    one, two = (Endpoint("localhost", port) for port in (1, 2))
    for endpoints in ([one], [one, two]):
        pool = Pool("chat", endpoints, PoolLimits())
        for endpoint in endpoints:
            endpoint.ejections, endpoint.ejected_until, endpoint.probing = 1, 0.1, True
        assert pool.choose() in endpoints


def test_a_request_that_no_endpoint_may_get_is_counted_as_a_failure_of_the_service() -> None:
    pool, reasons = pool_of(Endpoint("localhost", 1)), list[str]()
    pool.on_failure = reasons.append
    pool.endpoints[0].freeze()
    with pytest.raises(UpstreamUnavailable):
        pool.choose()
    assert reasons == ["unavailable"]


def test_after_an_abandoned_probe_the_next_request_is_the_probe() -> None:
    one, two = (Endpoint("localhost", port) for port in (1, 2))
    pool = Pool("chat", [one, two], PoolLimits())
    one.ejections, one.ejected_until, one.probing, one.active, two.active = 1, 0.1, True, 1, 9
    assert pool.choose() is two
    pool.finish_request(one)
    assert pool.choose() is one


def test_an_endpoint_that_refuses_connections_is_ejected_at_once() -> None:
    endpoint = Endpoint("localhost", 1)
    assert endpoint.record_failure(100, REFUSED)
    assert not endpoint.is_available(100 + MIN_EJECTION * 0.7)


def test_connect_timeouts_eject_after_as_many_failures_as_broken_responses() -> None:
    endpoint = Endpoint("localhost", 1)
    assert [endpoint.record_failure(100, ConnectFailed()) for _ in range(FAILURES_TO_EJECT)] == [False] * (
        FAILURES_TO_EJECT - 1
    ) + [True]


def test_the_ejection_of_a_refusing_endpoint_never_grows_and_is_reported_once() -> None:
    endpoint = Endpoint("localhost", 1)
    told = []
    for moment in range(100, 500, 10):
        told.append(endpoint.record_failure(moment, REFUSED))
        assert endpoint.ejected_until - moment < 2 * MIN_EJECTION
    assert told == [True] + [False] * (len(told) - 1)


def test_the_ejection_of_a_failing_endpoint_grows_to_its_maximum() -> None:
    endpoint, now = Endpoint("localhost", 1), 100.0
    for _ in range(20):
        for _ in range(FAILURES_TO_EJECT):
            endpoint.record_failure(now, ResponseTimeout())
        pause, now = endpoint.ejected_until - now, endpoint.ejected_until
    assert MAX_EJECTION * 0.8 <= pause <= MAX_EJECTION * 1.2
