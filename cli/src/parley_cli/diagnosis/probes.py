"""Probes: checks that run side by side, each with a time limit of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from parley.process.timeouts import at_most
from parley_cli.diagnosis.findings import Finding, fault

CALL_TIMEOUT = 60.0
"""Seconds of one call of a check: the longest limit of a probe, which ends the call earlier."""


class Unreachable(Exception):
    """A target does not answer or refuses. The message is shown, so it has no secrets."""

    def __init__(self, code: str, summary: str) -> None:
        super().__init__(summary)
        self.code = code


class Check(Protocol):
    """A check with a time limit of its own."""

    async def findings(self, timeout: float) -> list[Finding]:
        """Run within ``timeout`` seconds. No failure is raised."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """A check of one target. ``lost`` is the code of a target that does not answer in time."""

    target: str
    check: str
    lost: str
    run: Callable[[], Awaitable[list[Finding]]]

    async def findings(self, timeout: float) -> list[Finding]:
        """Run within ``timeout`` seconds. No failure is raised, and no message of another program is shown."""
        try:
            async with at_most(timeout):
                return await self.run()
        except Unreachable as error:
            return [fault(self.target, self.check, error.code, str(error))]
        except OSError as error:
            return [fault(self.target, self.check, self.lost, f"Not reachable: {reason(error)}.")]
        except Exception as error:  # noqa: BLE001 - its message may contain addresses and secrets
            return [fault(self.target, self.check, "check_failed", f"The check failed ({type(error).__name__}).")]
        return [fault(self.target, self.check, self.lost, f"No answer within {timeout:g} s.")]


def reason(error: BaseException) -> str:
    """Return a failure of the network in words, without addresses."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "timed out"
    return type(error).__name__


async def run_all(probes: Sequence[Check], timeout: float) -> list[Finding]:
    """Run every probe at the same time and return the findings in the order of the probes."""
    found = await asyncio.gather(*(probe.findings(timeout) for probe in probes))
    return [finding for each in found for finding in each]
