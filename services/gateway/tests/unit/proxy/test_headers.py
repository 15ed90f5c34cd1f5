"""Header rules: hop-by-hop headers and identity headers never cross the gateway."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.http import connection_options
from gateway.proxy.headers import (
    HOP_BY_HOP,
    IDENTITY_PREFIXES,
    MAX_CACHED_NAMES,
    REPLACED_IN_REQUESTS,
    REPLACED_IN_RESPONSES,
    HeaderDecisions,
    forwards_request_header,
    request_header_lines,
    response_headers,
)
from gateway.routes import all_routes

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20).map(str.encode)
KNOWN = st.sampled_from(
    sorted(HOP_BY_HOP | REPLACED_IN_REQUESTS | REPLACED_IN_RESPONSES | {prefix + b"id" for prefix in IDENTITY_PREFIXES})
)
NAMES = st.one_of(TOKEN, KNOWN, KNOWN.map(lambda name: name.replace(b"-", b"_")))
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=10)), max_size=30)


@given(HEADERS, st.lists(TOKEN, max_size=4))
def test_only_end_to_end_headers_without_identity_reach_an_upstream(
    headers: list[tuple[bytes, bytes]], tokens: list[bytes]
) -> None:
    lines = request_header_lines(headers, connection_options(b", ".join(tokens)))
    names = lines[0::4]
    assert not set(names) & (HOP_BY_HOP | REPLACED_IN_REQUESTS)
    assert not [name for name in names if b"_" in name or name.startswith(IDENTITY_PREFIXES)]
    assert not set(names) & (set(tokens) - {b"close", b"keep-alive"})
    kept = [name for name, _ in headers if name in set(names)]
    assert names == [name for name in kept if name in names]


@given(HEADERS)
def test_only_end_to_end_headers_reach_a_client(headers: list[tuple[bytes, bytes]]) -> None:
    names = {name for name, _ in response_headers(headers)}
    assert not names & (HOP_BY_HOP | REPLACED_IN_RESPONSES)


def test_the_cache_of_header_names_is_bounded() -> None:
    decisions = HeaderDecisions(forwards_request_header)
    for number in range(MAX_CACHED_NAMES * 2):
        assert decisions[b"x-%d" % number]
    assert len(decisions) == MAX_CACHED_NAMES


def test_connection_options_are_found_in_any_spelling() -> None:
    assert connection_options(b"close, X-Secret ,keep-alive,,Foo") == {b"x-secret", b"foo"}


def test_only_the_routes_of_browser_sessions_forward_the_cookie() -> None:
    sent = [(b"cookie", b"parley_refresh=prt_x"), (b"x-parley-client", b"web"), (b"x-user-id", b"root")]
    assert request_header_lines(sent) == []
    assert request_header_lines(sent, browser_session=True)[0::4] == [b"cookie", b"x-parley-client"]
    reading = {each.template for each in all_routes() if each.browser_session}
    assert reading == {"/api/v1/auth/token", "/api/v1/auth/revoke"}
