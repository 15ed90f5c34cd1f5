"""Chunks that repeat an earlier one except for their text: the parser returns what it returns without this shortcut."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.providers.failures import AttemptFailed
from chat.providers.parsing import lenient_json
from chat.providers.parsing.chunk_template import MAX_MISSES, ChunkTemplate
from chat.providers.parsing.chunks import ChunkParser
from chat.providers.parsing.response_reader import ResponseReader
from chat_testing.parsed_answers import chunk
from chat_testing.response_reads import ScriptedResponse


class NoTemplate(ChunkTemplate):
    """Learns nothing."""

    def learn(self, data: bytes, document: Any) -> None: ...


def completion(text: str, **members: Any) -> bytes:
    return orjson.dumps({"id": "c1", **chunk({"content": text}), **members})


def learned(data: bytes) -> ChunkTemplate:
    template = ChunkTemplate()
    template.learn(data, lenient_json.loads(data))
    return template


def parsed(parser: ChunkParser, pieces: list[bytes]) -> Any:
    found = [parser.parse(piece, error=piece.startswith(b"E")) for piece in pieces]
    return found, parser.finish(), parser.damaged, parser.begun, parser.finish_reason, repr(parser.failure)


TEXTS = ["", "a", "b c", '"', "\\", '"},"x":{"content":"', "\x00", "\u2028", "\U0001f600"]
VALUES = [b'"\\ud83d"', b'"\\ude00"', b'"\xff"', b"5", b"null", b'"a","role":"b"', b'"a', b' "a" ', b""]
CHUNKS = [
    *map(completion, TEXTS),
    *(completion(text).replace(b":", b": ") for text in TEXTS),
    *(completion("x").replace(b'"x"', value) for value in VALUES),
    completion("a", content="decoy"),
    orjson.dumps({"content": "decoy", **chunk({"content": "a"})}),
    completion("a", error={"message": "no"}),
    orjson.dumps({"choices": [{**chunk({"content": "a"})["choices"][0], "usage": {"prompt_tokens": 1}}]}),
    completion("a", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
    *(orjson.dumps(chunk({"content": "z"}, reason)) for reason in ("stop", "length", None)),
    *(b"E", b"{", b"[]", b"[1]\n[2]", b"E" + completion("a")),
]


@example(pieces=[completion("a"), completion("b", usage={"total_tokens": 2}), completion("c")])
@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.sampled_from(CHUNKS), max_size=8))
def test_the_shortcut_never_changes_an_answer(pieces: list[bytes]) -> None:
    plain = ChunkParser()
    plain._template = NoTemplate()
    assert parsed(ChunkParser(), pieces) == parsed(plain, pieces)


LINES = [
    b"data: %b\n\n",
    b"data:%b\n\n",
    b"data: %b\r\n\r\n",
    b"data: %b\n",
    b"event: message\ndata: %b\n\n",
    b"event: other\ndata: %b\n\n",
    b": ping\n\ndata: %b\n\n",
    b"data: [DONE]\n\n",
    b"\xef\xbb\xbfdata: %b\n\n",
]


def _lines_of_data(data: bytes) -> bytes:
    return data.replace(b'"content"', b'\ndata: "content"')


READS = st.builds(
    lambda line, data, lines: line.replace(b"%b", _lines_of_data(data) if lines else data),
    st.sampled_from(LINES),
    st.sampled_from(CHUNKS),
    st.booleans(),
)


async def answer(parser: ChunkParser, reads: list[bytes]) -> Any:
    response: Any = ScriptedResponse(*reads)
    reader, chunks = ResponseReader(response, parser, 60), []
    try:
        while found := await reader.read():
            chunks += found
    except AttemptFailed as failed:
        return chunks, repr(failed)
    finally:
        reader.close()
    return chunks, None


@settings(max_examples=150, deadline=None)
@given(reads=st.lists(READS, max_size=6), cut=st.integers(0, 120), data=st.data())
async def test_the_shortcut_never_changes_a_response(reads: list[bytes], cut: int, data: st.DataObject) -> None:
    common = b"data: " + completion("a") + b"\n\n"
    reads = [common, *reads, common]
    split = data.draw(st.integers(0, len(reads) - 1))
    reads[split : split + 1] = [part for part in (reads[split][:cut], reads[split][cut:]) if part]
    plain = ChunkParser()
    plain._template = NoTemplate()
    assert await answer(ChunkParser(), reads) == await answer(plain, reads)


@pytest.mark.parametrize("text", ["", " t2", 'a "quoted" \\ text', "漢字\u2028\x00"])
def test_the_text_of_a_repeated_chunk_is_read_alone(text: str) -> None:
    template = learned(completion(" t1"))
    assert template.text_of(completion(text)) == text
    assert template.text_of_event(b"data: " + completion(text) + b"\n\n") == text


@pytest.mark.parametrize("event", [b"data: %b\n", b"data:%b\n\n", b"data: %b\r\n\r\n", b"data: %b\n\ndata: %b\n\n"])
def test_the_text_of_what_is_not_one_event_is_not_read_alone(event: bytes) -> None:
    data = completion("a")
    assert learned(data).text_of_event(event.replace(b"%b", data)) is None


def test_the_text_of_data_with_several_lines_is_not_read_from_its_event() -> None:
    data = completion("a").replace(b'"choices"', b'\n"choices"')
    template = learned(data)
    assert template.text_of(data) == "a"
    assert template.text_of_event(b"data: " + data + b"\n\n") is None


@pytest.mark.parametrize(
    "data",
    [
        completion("b", usage={"total_tokens": 2}),
        completion("b", error={"message": "no"}),
        orjson.dumps(chunk({"content": "b"}, "stop")),
        orjson.dumps(chunk({"content": "b", "tool_calls": []})),
        orjson.dumps({"choices": [*chunk({"content": "b"})["choices"], {"index": 1, "delta": {"content": "c"}}]}),
        b'{"choices":[{"delta":{"content":"b"}}],"choices":[{"delta":{"content":"c"}}]}',
    ],
)
def test_a_chunk_that_is_more_than_a_text_is_not_learned(data: bytes) -> None:
    assert learned(data).text_of(data) is None


def test_a_chunk_of_any_depth_is_no_error() -> None:
    data = b'{"choices":[{"delta":{"content":"b"}}],"deep":' + b"[" * 1000 + b"]" * 1000 + b"}"
    # Versions of Python differ in the depth that they compare.
    assert learned(data).text_of(data) in {None, "b"}


def test_chunks_that_all_differ_are_soon_not_learned_any_more() -> None:
    template = ChunkTemplate()
    for number in range(MAX_MISSES):
        data = completion("a", padding=number)
        template.learn(data, lenient_json.loads(data))
    late = completion("a", padding="late")
    template.learn(late, lenient_json.loads(late))
    assert template.text_of(late) is None
