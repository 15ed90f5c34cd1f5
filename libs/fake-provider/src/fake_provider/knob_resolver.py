"""Knobs of a call. Precedence: start < run time < model name < script < marker in the last user message."""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from cachetools import LRUCache

from fake_provider.knobs import (
    InvalidKnobError,
    Knobs,
    TimedKnobs,
    from_markers,
    from_model_name,
    parse_timed,
    with_changes,
)
from fake_provider.schemas import ModelRequest

MAX_SCRIPT_STEPS = 10_000
MAX_COUNTED_MESSAGES = 10_000


class KnobResolver:
    """Knobs of this process, and the script for the next calls."""

    def __init__(self, start: Knobs) -> None:
        self._start = start
        self._current = start
        self._script: deque[TimedKnobs] = deque()
        self._uses: LRUCache[bytes, int] = LRUCache(MAX_COUNTED_MESSAGES)

    @property
    def current(self) -> Knobs:
        return self._current

    @property
    def scripted(self) -> int:
        """The number of calls that the script still applies to."""
        return sum(step.times or 1 for step in self._script)

    def set(self, changes: Mapping[str, Any]) -> None:
        """Replace the run-time knobs. Knobs that are not named return to their initial values."""
        self._current = with_changes(self._start, changes)

    def append_script(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """Add steps for the next calls, each for one call or `times` calls. An invalid step adds none."""
        checked = [parse_timed(step) for step in steps]
        if len(self._script) + len(checked) > MAX_SCRIPT_STEPS:
            raise InvalidKnobError(f"the script has at most {MAX_SCRIPT_STEPS} steps")
        self._script.extend(checked)

    def clear_script(self) -> None:
        self._script.clear()

    def resolve(self, request: ModelRequest) -> Knobs:
        """Return the knobs of this call, and consume one step of the script."""
        changes: dict[str, Any] = {}
        if "?" in request.model:
            changes |= from_model_name(request.model)
        if self._script:
            changes |= self._next_step()
        text = request.last_user_text
        if "[[fake" in text:
            changes |= self._from_text(text)
        return with_changes(self._current, changes)

    def _next_step(self) -> dict[str, Any]:
        step = self._script.popleft()
        if step.times is not None and step.times > 1:
            self._script.appendleft(step.model_copy(update={"times": step.times - 1}))
        return step.changes

    def _from_text(self, text: str) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        markers = from_markers(text)
        uses = self._count_use(text) if any(marker.times for marker in markers) else 1
        for marker in markers:
            if marker.times is None or uses <= marker.times:
                changes |= marker.changes
        return changes

    def _count_use(self, text: str) -> int:
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        uses = self._uses[digest] = self._uses.get(digest, 0) + 1
        return uses
