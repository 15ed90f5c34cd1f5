"""Turns to test with."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chat.admission.new_turn import admitted_turn
from chat.model import NewTurn, Turn
from chat.turn_store import AdmissionResult
from parley import times
from parley.ids import new_id


@pytest.fixture
def make_turn() -> Callable[..., Turn]:
    """Make a turn that runs, changed as a test likes."""
    return _turn


def _turn(**changed: Any) -> Turn:
    now, turn_id = times.now(), new_id()
    new = NewTurn(
        id=turn_id,
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
        deadline_at=now,
        created_at=now,
    )
    return replace(admitted_turn(new, AdmissionResult(turn_id, 1, None), new_id()), **changed)
