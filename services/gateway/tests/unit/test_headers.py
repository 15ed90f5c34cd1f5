"""No header that is for one hop, or that says who the client is, ever crosses."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.headers import (
    HOP_BY_HOP,
    IDENTITY_PREFIXES,
    MAX_REMEMBERED,
    OURS,
    REPLACED,
    RequestFilter,
    ResponseFilter,
    nominated,
)

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20).map(str.encode)
KNOWN = st.sampled_from(sorted(HOP_BY_HOP | REPLACED | OURS | {prefix + b"id" for prefix in IDENTITY_PREFIXES}))
NAMES = st.one_of(TOKEN, KNOWN, KNOWN.map(lambda name: name.replace(b"-", b"_")))
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=10)), max_size=30)


@given(HEADERS, st.lists(TOKEN, max_size=4))
def test_only_end_to_end_headers_without_identity_reach_an_upstream(
    headers: list[tuple[bytes, bytes]], tokens: list[bytes]
) -> None:
    lines = RequestFilter().lines(headers, nominated(b", ".join(tokens)))
    names = lines[0::4]
    assert not set(names) & (HOP_BY_HOP | REPLACED)
    assert not [name for name in names if b"_" in name or name.startswith(IDENTITY_PREFIXES)]
    assert not set(names) & (set(tokens) - {b"close", b"keep-alive"})
    kept = [name for name, _ in headers if name in set(names)]
    assert names == [name for name in kept if name in names]


@given(HEADERS)
def test_only_end_to_end_headers_reach_a_client(headers: list[tuple[bytes, bytes]]) -> None:
    names = {name for name, _ in ResponseFilter().pairs(headers)}
    assert not names & (HOP_BY_HOP | OURS)


def test_a_client_cannot_make_the_gateway_remember_names_without_end() -> None:
    found = RequestFilter()
    for number in range(MAX_REMEMBERED * 2):
        found.lines([(b"x-%d" % number, b"")])
    assert len(found._known) == MAX_REMEMBERED


def test_nominated_fields_are_found_in_any_spelling() -> None:
    assert nominated(b"close, X-Secret ,keep-alive,,Foo") == {b"x-secret", b"foo"}
