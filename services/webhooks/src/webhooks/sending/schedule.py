"""Decision about an attempt: delivered, tried again later, or dead."""

import random
from collections.abc import Callable, Sequence

from webhooks.outgoing.http_sender import Response
from webhooks.sending.postgres import AttemptOutcome

GONE = 410
JITTER = 0.2
"""Share of a delay that is added at random, so that a receiver that recovers is not hit by all retries at once."""


class RetrySchedule:
    """The delays between attempts."""

    def __init__(self, delays: Sequence[float], *, rand: Callable[[], float] = random.random) -> None:
        """``delays`` are the seconds before each retry. ``rand`` returns a number from 0 to 1."""
        self._delays, self._rand = tuple(delays), rand

    def outcome(self, response: Response, attempts_before: int) -> AttemptOutcome:
        """Return what becomes of a delivery after an attempt."""
        if response.succeeded:
            return AttemptOutcome("delivered", None, response.status, response.latency_ms, None)
        gone = response.status == GONE
        last = gone or attempts_before >= len(self._delays)
        delay = None if last else self._delays[attempts_before] * (1 + JITTER * self._rand())
        status = "dead" if last else "failed"
        return AttemptOutcome(status, delay, response.status, response.latency_ms, response.error, gone=gone)
