"""Reading of turn events: what is stored, and that a canonical form is read as its model is."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from history.projection.canonical_form import CanonicalForm
from history.projection.turn_event import TurnEvent, read_turn_event
from history_testing.turn_events import SampleTurn, as_published
from parley.ids import new_id
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import TurnEnded, TurnRedacted, TurnStarted
from parley_events.subscription import Rejected

_RESULT = {"id": str(new_id()), "tool_call_id": None, "content": "Rain", "created_at": "2026-11-22T10:00:00.123Z"}


def _events() -> Iterator[CloudEvent]:
    turn = SampleTurn(metadata={"a": "b"})
    yield turn.started(tool_results=[_RESULT], continues=True)
    yield turn.ended("failed", error={"code": "x", "message": "y"}, tool_results=[_RESULT])
    yield SampleTurn(stored=False, tokens=None, cost=None).ended("cancelled")
    yield turn.redacted(gone=[turn.turn_id])


EVENTS = [as_published(event) for event in _events()]


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path to each member."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in entries:
        yield (*path, name)
        yield from _paths(entry, (*path, name))


def _strict(value: Any) -> str:
    """Return JSON in which 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


def check(event: CloudEvent, data: bytes) -> None:
    """Compare what is read of the data with its model."""
    changed = replace(event, data=data)
    try:
        model: BaseModel | None = decode(changed)
    except Rejected:
        with pytest.raises(Rejected):
            read_turn_event(changed)
        return
    assert model is not None
    expected = json.loads(model.model_dump_json())
    found = read_turn_event(changed)
    assert isinstance(found, TurnEvent)
    assert _strict(json.loads(found.data)) == _strict(expected)
    question, answer = expected["user_message"] or {}, expected.get("message") or {}
    assert asdict(replace(found, event=None, data=b"")) == {  # type: ignore[arg-type]
        **{name: expected[name] for name in ("turn_id", "user_id", "conversation_id", "number", "stored")},
        "event": None,
        "data": b"",
        "question_id": question.get("id"),
        "question": question.get("content", ""),
        "answer": answer.get("content", ""),
        "result_ids": tuple(result["id"] for result in expected["tool_results"]),
        "terms": None,
    }


_STRANGE = [
    *(None, True, 0, 1, -1, 1.0, 2**40, 10**30, "", "1", "true", "text", "\x00", "\ud800", "null", [], [None], {}),
    *({"a": 1}, {"a": "b"}, "USD", "completed", "running", "1.000000000", "-1.000000000", "1.5", 1.5, "01.000000000"),
    *("1e3", "NaN", "0.000000000", "9" * 40 + ".000000000"),
    *("2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.123+01:00", "2026-02-30T10:00:00.123Z"),
    *("2024-02-29T10:00:00.123Z", "2026-11-31T10:00:00.123Z", "2026-11-22T24:00:00.000Z", "2026-11-22T10:00:60.000Z"),
    *("0000-01-01T10:00:00.000Z", "0001-01-01T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-11-22T10:00:00.123Z\n"),
    *(
        "0190A000-0000-7000-8000-000000000000",
        "0190a000-0000-7000-8000-000000000000",
        "0190a00000007000800000000000000f",
    ),
    *("0190a000-0000-7000-8000-000000000000\n", "{0190a000-0000-7000-8000-000000000000}"),
]


@given(st.data())
def test_data_is_read_and_rejected_as_by_its_model(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(EVENTS))
    members: Any = event.json()
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from(list(_paths(members))))
        holder: Any = members
        for step in path[:-1]:
            holder = holder[step]
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "add" and isinstance(holder, dict):
            holder["unknown"] = data.draw(st.sampled_from(_STRANGE))
        elif change == "remove":
            del holder[path[-1]]
        else:
            holder[path[-1]] = data.draw(st.sampled_from(_STRANGE))
    check(event, json.dumps(members, ensure_ascii=data.draw(st.booleans())).encode(errors="surrogatepass"))


@given(st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
@example(b"")
@example(b"[" * 100_000)
@example(b"\xff")
def test_what_is_no_object_is_rejected(data: bytes) -> None:
    for event in EVENTS[:2]:
        check(event, data)


def test_of_members_that_occur_twice_the_last_one_counts() -> None:
    for event in EVENTS:
        twice = b'{"number": 7, "tool_results": [], ' + event.data[1:]
        check(event, twice)
        check(event, event.data[:-1] + b', "number": 9, "request_id": "again"}')


def test_events_as_chat_writes_them_are_stored_as_they_arrive() -> None:
    for event in EVENTS:
        found = read_turn_event(event)
        assert isinstance(found, TurnEvent)
        assert found.data is event.data


def test_a_form_is_made_only_of_members_that_have_one() -> None:
    class Other(BaseModel):
        size: float

    with pytest.raises(TypeError, match="float"):
        CanonicalForm(Other)


def test_tool_calls_have_no_canonical_form() -> None:
    turn = SampleTurn()
    calls = [{"id": "c1", "function": {"arguments": "{}", "n": 1.0}}]
    message = {"id": turn.turn_id, "content": "", "tool_calls": calls, "created_at": turn.started_at}
    event = as_published(turn.ended(message=message))
    assert CanonicalForm(TurnEnded).read(event.data) is None
    check(event, event.data)


def test_each_model_of_turns_has_a_form() -> None:
    for model, event in ((TurnStarted, EVENTS[0]), (TurnEnded, EVENTS[1]), (TurnRedacted, EVENTS[3])):
        assert CanonicalForm(model).read(event.data) is not None
