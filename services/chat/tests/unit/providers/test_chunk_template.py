"""Chunks that repeat an earlier one except for their text: the parser returns what it returns without this shortcut."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.providers.parsing import lenient_json
from chat.providers.parsing.chunk_template import MAX_MISSES, ChunkTemplate
from chat.providers.parsing.chunks import ChunkParser
from chat_testing.parsed_answers import chunk


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


@pytest.mark.parametrize("text", ["", " t2", 'a "quoted" \\ text', "漢字\u2028\x00"])
def test_the_text_of_a_repeated_chunk_is_read_alone(text: str) -> None:
    assert learned(completion(" t1")).text_of(completion(text)) == text


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
