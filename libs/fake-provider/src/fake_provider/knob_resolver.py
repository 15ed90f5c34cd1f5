"""Which knobs a call gets: start < run time < model name < script < marker in the last user message."""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from fake_provider.knobs import InvalidKnobError, Knobs, TimedKnobs, changed, from_markers, from_model_name, timed
from fake_provider.schemas import ChatRequest

MAX_SCRIPT = 10_000
MAX_REMEMBERED = 10_000


class KnobChoice:
    """The knobs of this process and the queue of the next calls."""

    def __init__(self, start: Knobs) -> None:
        self._start = start
        self._current = start
        self._script: deque[TimedKnobs] = deque()
        self._uses: OrderedDict[bytes, int] = OrderedDict()

    @property
    def current(self) -> Knobs:
        return self._current

    @property
    def scripted(self) -> int:
        """How many of the next calls follow the script."""
        return sum(step.times or 1 for step in self._script)

    def set(self, changes: Mapping[str, Any]) -> None:
        """Replace the run-time knobs; what is not named returns to its value at the start."""
        self._current = changed(self._start, changes)

    def append_script(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """Queue one entry for each of the next calls, or for `times` of them; all or none are taken."""
        checked = [timed(step) for step in steps]
        if len(self._script) + len(checked) > MAX_SCRIPT:
            raise InvalidKnobError(f"the script is full: it holds at most {MAX_SCRIPT} entries")
        self._script.extend(checked)

    def clear_script(self) -> None:
        self._script.clear()

    def take(self, request: ChatRequest) -> Knobs:
        """Return the knobs of this call, and use up one step of the script."""
        changes: dict[str, Any] = {}
        if "?" in request.model:
            changes |= from_model_name(request.model)
        if self._script:
            changes |= self._next_step()
        text = request.last_user_text
        if "[[fake" in text:
            changes |= self._from_text(text)
        return changed(self._current, changes)

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
        self._uses[digest] = self._uses.pop(digest, 0) + 1
        if len(self._uses) > MAX_REMEMBERED:
            self._uses.popitem(last=False)
        return self._uses[digest]
