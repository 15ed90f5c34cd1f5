"""Event boundaries of server-sent events, and the final event of an interrupted stream."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StreamTerminated, UpstreamBroken
from gateway.proxy.sse import MAX_BUFFERED, SseFramer, final_event

EVENTS = st.lists(
    st.sampled_from([b"data: 1\n\n", b": ping\n\n", b": ping\n", b"id: 7\ndata: {}\n\n", b"event: x\ndata: 1\n\n"]),
    max_size=12,
)


@given(EVENTS, st.binary(max_size=0) | st.just(b"data: half"), st.lists(st.integers(0, 300), max_size=12))
def test_complete_events_are_relayed_unchanged_and_incomplete_ones_are_buffered(
    events: list[bytes], half: bytes, cuts: list[int]
) -> None:
    stream = b"".join(events)
    data = stream + half
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    framer = SseFramer()
    passed = b"".join(framer.feed(data[a:b]) for a, b in pairwise(edges))
    assert passed == stream
    assert framer.flush() == half
    assert framer.at_boundary


def test_a_comment_without_a_blank_line_is_relayed_at_once() -> None:
    framer = SseFramer()
    assert framer.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert framer.feed(b": ping\n") == b": ping\n"


def test_an_event_longer_than_the_buffer_is_relayed_in_pieces() -> None:
    framer, event = SseFramer(), b"data: " + b"x" * (MAX_BUFFERED * 3) + b"\n\n"
    passed = b""
    for start in range(0, len(event), 10_000):
        passed += framer.feed(event[start : start + 10_000])
        assert len(framer._buffer) <= MAX_BUFFERED
    assert passed == event
    assert framer.at_boundary


def test_the_final_event_has_the_format_of_its_stream() -> None:
    assert final_event(UpstreamBroken(), shape="problem") == b'event: interrupted\ndata: {"code":"upstream_error"}\n\n'
    drained = StreamTerminated("draining", {"retry_after_ms": 500})
    assert final_event(drained, shape="problem") == b'event: draining\ndata: {"retry_after_ms":500}\n\n'
    error = b'{"type":"error","error":{"type":"api_error","message":"The stream was interrupted.","code":"draining"}'
    last = final_event(drained, shape="anthropic", request_id="r")
    assert last == b"event: error\ndata: " + error + b',"request_id":"r"}\n\n'
    assert final_event(drained, shape="openai").startswith(b'data: {"error":{"message":')
