"""Where an event ends, and what is held back."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Interrupted, UpstreamBroken
from gateway.proxy.sse import MAX_HELD, EventCutter, last_word

EVENTS = st.lists(
    st.sampled_from([b"data: 1\n\n", b": ping\n\n", b": ping\n", b"id: 7\ndata: {}\n\n", b"event: x\ndata: 1\n\n"]),
    max_size=12,
)


@given(EVENTS, st.binary(max_size=0) | st.just(b"data: half"), st.lists(st.integers(0, 300), max_size=12))
def test_whole_events_pass_byte_by_byte_equal_and_half_ones_are_held(
    events: list[bytes], half: bytes, cuts: list[int]
) -> None:
    stream = b"".join(events)
    data = stream + half
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    cutter = EventCutter()
    passed = b"".join(cutter.feed(data[a:b]) for a, b in pairwise(edges))
    assert passed == stream
    assert cutter.rest() == half
    assert cutter.clean


def test_a_ping_without_a_blank_line_is_passed_on_at_once() -> None:
    cutter = EventCutter()
    assert cutter.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert cutter.feed(b": ping\n") == b": ping\n"


def test_an_event_longer_than_the_buffer_is_passed_on_in_pieces() -> None:
    cutter, event = EventCutter(), b"data: " + b"x" * (MAX_HELD * 3) + b"\n\n"
    passed = b""
    for start in range(0, len(event), 10_000):
        passed += cutter.feed(event[start : start + 10_000])
        assert len(cutter._held) <= MAX_HELD
    assert passed == event
    assert cutter.clean


def test_the_last_word_has_the_form_of_its_stream() -> None:
    assert last_word(UpstreamBroken(), openai=False) == b'event: interrupted\ndata: {"code":"upstream_error"}\n\n'
    drained = Interrupted("draining", {"retry_after_ms": 500})
    assert last_word(drained, openai=False) == b'event: draining\ndata: {"retry_after_ms":500}\n\n'
    assert last_word(drained, openai=True).startswith(b'data: {"error":{"message":')
