"""Turns, requests and models for tests."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from chat.admission.new_turn import admitted_turn
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Catalogue, Model, Target
from chat.model import LogEntry, NewTurn, Outcome, Turn
from chat.turn_store import AdmissionResult
from parley import times
from parley.ids import new_id
from parley_events.parts import Usage

MODEL = Model("default", "fake-1", "Fake", "fake", Target("http://fake/v1", "key"), 8192, 1024)
SEES = replace(MODEL, capabilities=("stream", "vision"))
"""A model that reads images."""


def make_catalogue(*models: Model) -> Catalogue:
    """Return a catalogue whose first model is the default."""
    models = models or (MODEL,)
    return Catalogue({model.alias: model for model in models}, models[0].alias)


def make_request(**changed: Any) -> TurnRequest:
    """Return a request of a new user."""
    members = {"user_id": new_id(), "plan": "default", "request_id": "r", "message": "Hi"}
    return TurnRequest(**{**members, **changed})


def make_new_turn(**changed: Any) -> NewTurn:
    """Return a turn to admit, in a new conversation."""
    now = times.now()
    turn = NewTurn(
        id=new_id(),
        user_id=new_id(),
        conversation_id=new_id(),
        parent_id=None,
        regenerate=None,
        user_message_id=new_id(),
        user_message="Hi",
        user_message_at=now,
        system_prompt=None,
        model="default",
        metadata={},
        request_id="r",
        context="complete",
        omitted_turns=0,
        prompt_tokens=1,
        deadline_at=now + timedelta(minutes=10),
        created_at=now,
    )
    return replace(turn, **changed)


def make_turn(**changed: Any) -> Turn:
    """Return a running turn."""
    new = make_new_turn()
    return replace(admitted_turn(new, AdmissionResult(new.id, 1, None), new_id()), **changed)


def make_outcome(*texts: str, **changed: Any) -> Outcome:
    """Return the outcome of a completed answer."""
    outcome = Outcome(
        status="completed",
        finish_reason="stop",
        entries=tuple(LogEntry(text) for text in texts),
        content="".join(texts),
        tool_calls=None,
        usage=Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10),
        cost=None,
        price_version=None,
        provider="fake",
        provider_model="fake-1",
        error=None,
        finished_at=times.now(),
    )
    return replace(outcome, **changed)


def ended_turn(turn: Turn, *texts: str) -> Turn:
    """Return a completed turn."""
    entries = tuple(LogEntry(text) for text in texts)
    return replace(turn, status="completed", finish_reason="stop", entries=entries, content="".join(texts))


def conversation_of(turn: Turn) -> UUID:
    """Return the conversation of a stored turn."""
    assert turn.conversation_id is not None
    return turn.conversation_id
