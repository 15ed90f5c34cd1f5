"""Log probabilities of tokens: from the provider's chunks to OpenAI's formats."""

from typing import Any

import orjson
import pytest

from chat.model import LogEntry
from chat.protocols.openai_chat import projection
from chat.protocols.openai_responses.output import folded
from chat.providers.parsing.chunks import ChunkParser
from chat.providers.parsing.logprobs import MAX_LOGPROBS_LENGTH, MAX_TOKEN_LENGTH, MAX_TOP_LOGPROBS, LogprobParser
from chat_testing.turns import make_turn
from parley.ids import new_id

HEL = {"token": "Hel", "logprob": -0.25, "bytes": [72, 101, 108], "top_logprobs": []}
LO = {"token": "lo", "logprob": -1.5, "bytes": None, "top_logprobs": [{"token": "p", "logprob": -3.0, "bytes": None}]}


def chunk(text: str | None, logprobs: Any, **members: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    return orjson.dumps({"choices": [{"index": 0, "delta": delta, "logprobs": logprobs, **members}]})


def entries_of(*chunks: bytes, wanted: bool = True) -> list[LogEntry]:
    """Return the entries of an answer."""
    parser = ChunkParser()
    parser.wants_logprobs = wanted
    found = [one for data in chunks for one in parser.parse(data)]
    return [one.entry for one in (*found, *parser.finish("stop")) if one.entry is not None]


def logprobs_of(entry: LogEntry) -> Any:
    return orjson.loads(entry.logprobs) if entry.logprobs else []


def test_the_tokens_of_an_entry_have_their_log_probabilities() -> None:
    first, second, last = entries_of(
        chunk("Hel", {"content": [HEL]}),
        chunk("", {"content": [LO]}),
        chunk("lo", None),
        chunk(None, {"content": [HEL]}, finish_reason="stop"),
    )
    assert (first.text, logprobs_of(first)) == ("Hel", [HEL])
    assert (second.text, logprobs_of(second)) == ("lo", [LO])
    assert (last.text, logprobs_of(last)) == ("", [HEL])
    assert LogEntry.from_json(orjson.loads(orjson.dumps(second.to_json()))) == second


def test_log_probabilities_that_nobody_asked_for_are_left_out() -> None:
    assert entries_of(chunk("Hel", {"content": [HEL]}), wanted=False) == [LogEntry("Hel")]


@pytest.mark.parametrize(
    "given",
    [
        *(7, "x", [], {}, {"content": 7}, {"content": ["x", None, {}]}, {"content": [{"token": 1, "logprob": 0}]}),
        *({"content": [{"token": "a"}]}, {"content": [{"token": "a", "logprob": True}]}, {"tokens": ["a"]}),
    ],
)
def test_malformed_log_probabilities_are_left_out_of_the_answer(given: Any) -> None:
    assert entries_of(chunk("Hel", given)) == [LogEntry("Hel")]


def test_numbers_that_json_does_not_have_and_text_that_cannot_be_stored_are_replaced() -> None:
    odd = (
        b'{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"\\u0000","logprob":-Infinity,'
    )
    odd += b'"bytes":[1,900],"top_logprobs":[{"token":"b","logprob":NaN},{"token":"c","logprob":-1}]}]}}]}'
    (entry,) = entries_of(odd)
    (token,) = logprobs_of(entry)
    assert (token["token"], token["logprob"], token["bytes"]) == ("\ufffd", -9999.0, None)
    assert [(one["token"], one["logprob"]) for one in token["top_logprobs"]] == [("b", -9999.0), ("c", -1.0)]


@pytest.mark.parametrize(("given", "kept"), [("9" * 400, 0.0), ("-" + "9" * 400, -9999.0), ("-1e999", -9999.0)])
def test_numbers_that_no_float_holds_are_cut_to_the_range_of_log_probabilities(given: str, kept: float) -> None:
    data = b'{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":%b}]}}]}'
    (entry,) = entries_of(data % given.encode())
    assert [token["logprob"] for token in logprobs_of(entry)] == [kept]


def test_nothing_of_a_token_is_longer_than_tokens_are() -> None:
    long = {"token": "a" * 1000, "logprob": -1, "bytes": [97] * 1000}
    (entry,) = entries_of(chunk("a", {"content": [{**long, "top_logprobs": [long] * 50}]}))
    (token,) = logprobs_of(entry)
    assert len(token["top_logprobs"]) == MAX_TOP_LOGPROBS
    for one in (token, *token["top_logprobs"]):
        assert (len(one["token"]), one["bytes"]) == (MAX_TOKEN_LENGTH, None)


@pytest.mark.parametrize("tokens", [1, 1000])
def test_the_log_probabilities_of_an_answer_are_bounded_although_no_text_takes_them(tokens: int) -> None:
    parser = LogprobParser()
    token = {"token": "a" * 200, "logprob": -1, "top_logprobs": [{"token": "b" * 200, "logprob": -2}] * 20}
    for _ in range(2000 // tokens):
        parser.add({"content": [token] * tokens})
    taken = parser.take()
    assert MAX_LOGPROBS_LENGTH * 0.99 < len(taken) <= MAX_LOGPROBS_LENGTH
    assert orjson.loads(taken)[-1]["token"] == token["token"]
    parser.add({"content": [HEL]})
    assert parser.take() == ""


def test_completions_and_their_chunks_have_them_in_openais_form() -> None:
    entries = (LogEntry("Hel", logprobs=orjson.dumps([HEL]).decode()), LogEntry("lo"))
    turn = make_turn(entries=entries, content="Hello", status="completed", finish_reason="stop")
    whole = orjson.loads(orjson.dumps(projection.completion(turn)))
    assert whole["choices"][0]["logprobs"] == {"content": [HEL], "refusal": None}
    chunks = projection.CompletionChunks(turn, include_usage=True)
    first, second = (orjson.loads(chunks.delta(entry))["choices"][0] for entry in entries)
    assert (first["delta"], first["logprobs"]) == ({"content": "Hel"}, {"content": [HEL], "refusal": None})
    assert (second["delta"], second.get("logprobs")) == ({"content": "lo"}, None)


def test_response_events_and_items_have_them() -> None:
    entries = (LogEntry("Hel", logprobs=orjson.dumps([HEL]).decode()), LogEntry("lo"))
    (item,) = folded(new_id(), entries).output(complete=True)
    assert item["content"][0]["logprobs"] == [HEL]
    fold = folded(new_id(), entries[1:])
    assert [members["logprobs"] for _, members in fold.add(entries[0])] == [[HEL]]
    done = dict(fold.finish(complete=True))
    assert done["response.output_text.done"]["logprobs"] == [HEL]
