"""Rates of events beside bare aio-pika: events per second, and the processor time of each."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import NamedTuple


class Rate(NamedTuple):
    """Events per second, and CPU microseconds of this process per event."""

    rate: float
    cpu: float

    def __str__(self) -> str:
        """Return ``4,711/s (322 us CPU each)``."""
        return f"{self.rate:,.0f}/s ({self.cpu:.0f} us CPU each)"


@contextlib.contextmanager
def stopwatch(count: int) -> Iterator[list[Rate]]:
    """Append the rate of ``count`` events to the list at the end of the context."""
    found: list[Rate] = []
    began, cpu = time.perf_counter(), time.process_time()
    yield found
    found.append(Rate(count / (time.perf_counter() - began), (time.process_time() - cpu) / count * 1e6))


def environment() -> str:
    """Return the versions and the number of processors for the first line of a benchmark."""
    return f"aio-pika {version('aio-pika')}, Python {platform.python_version()}, uvloop, {os.cpu_count()} CPUs"


def combined(rounds: Sequence[Rate]) -> Rate:
    """Return the rate of rounds with the same number of events."""
    seconds = sum(1 / each.rate for each in rounds)
    return Rate(len(rounds) / seconds, sum(each.cpu for each in rounds) / len(rounds))
