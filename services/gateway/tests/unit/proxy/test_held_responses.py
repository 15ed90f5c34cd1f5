"""Responses that services hold for slow readers."""

import contextlib

import pytest

from gateway.http import Header
from gateway.proxy.held_responses import UNKNOWN_LENGTH, HeldResponses, held_size
from gateway.request import Caller
from parley.errors import RateLimited
from parley.ids import new_id
from parley.security.identity import Principal

MIB = 1_048_576


def caller() -> Caller:
    principal = Principal(new_id(), frozenset(), "default", "s", "c", 0, None, 0, "token")
    return Caller(principal, limits=(), strict_limits=(), max_streams=1)


def json_of(size: int) -> list[Header]:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]


def hold(held: HeldResponses, user: Caller | None, headers: list[Header]) -> contextlib.AbstractContextManager[None]:
    return held.hold(user, headers, repeatable=True)


def test_a_user_whose_clients_read_nothing_gets_no_further_long_response() -> None:
    held, user = HeldResponses(most=4 * MIB), caller()
    with hold(held, user, json_of(3 * MIB)):
        with hold(held, user, json_of(MIB)), pytest.raises(RateLimited) as refused, hold(held, user, json_of(MIB)):
            pass
        assert refused.value.headers["Retry-After"] == "1"
        with hold(held, caller(), json_of(3 * MIB)), hold(held, user, json_of(1_000)):
            pass
    with hold(held, user, json_of(4 * MIB)):
        pass


def test_a_single_response_may_have_any_length() -> None:
    held, user = HeldResponses(most=MIB), caller()
    with contextlib.suppress(ValueError), hold(held, user, json_of(9 * MIB)):
        raise ValueError("the client has left")
    with hold(held, user, json_of(9 * MIB)):
        pass


def test_a_request_that_must_not_be_repeated_is_refused_before_it_is_forwarded_only() -> None:
    held, user = HeldResponses(most=4 * MIB), caller()
    held.require_room(user)
    with hold(held, user, json_of(3 * MIB)):
        held.require_room(user)
        with held.hold(user, json_of(3 * MIB), repeatable=False):
            with pytest.raises(RateLimited) as refused:
                held.require_room(user)
            assert refused.value.headers["Retry-After"] == "1"
            for other in (caller(), None):
                held.require_room(other)
    held.require_room(user)


def test_files_are_not_held_and_exports_are_by_the_page() -> None:
    assert held_size([(b"content-type", b"image/png"), (b"content-length", b"9000000")]) == 0
    assert held_size([(b"content-type", b"application/x-ndjson")]) == UNKNOWN_LENGTH


def test_responses_of_anonymous_clients_are_not_counted() -> None:
    held = HeldResponses(most=MIB)
    with hold(held, None, json_of(9 * MIB)), hold(held, None, json_of(9 * MIB)):
        pass
