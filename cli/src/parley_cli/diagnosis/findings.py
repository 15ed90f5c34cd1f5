"""Results of the checks of a running system."""

from dataclasses import dataclass, field
from typing import Any, Literal

from parley_cli.diagnosis.advice import ADVICE

Status = Literal["ok", "warning", "fault"]
FORMAT = "parley.doctor/1"
HEALTHY, FAULTY, UNCHECKED = 0, 1, 2
"""Exit statuses: no fault, at least one, and nothing could be checked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check: what was found at which target. ``code`` is ``ok`` or a key of ``ADVICE``."""

    target: str
    check: str
    summary: str
    status: Status = "ok"
    code: str = "ok"
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the object of `--json`, which always has the same fields."""
        advice = ADVICE.get(self.code)
        return {
            "target": self.target,
            "check": self.check,
            "status": self.status,
            "code": self.code,
            "summary": self.summary,
            "impact": advice.impact if advice else None,
            "action": advice.action if advice else None,
            "runbook": advice.link if advice else None,
            "facts": self.facts,
        }

    def as_line(self) -> str:
        """Return one line: what was found and, unless it is fine, why it matters and what to do."""
        word = {"ok": "ok  ", "warning": "WARN", "fault": "FAIL"}[self.status]
        line = f"{word}  {self.target:<18} {self.summary}"
        advice = ADVICE.get(self.code)
        return f"{line} {advice.impact} {advice.action} ({advice.link})" if advice else line


def fault(target: str, check: str, code: str, summary: str, **facts: Any) -> Finding:
    """Return a finding that makes the exit status 1."""
    return Finding(target, check, summary, "fault", code, facts)


def warning(target: str, check: str, code: str, summary: str, **facts: Any) -> Finding:
    """Return a finding that somebody should read, and that does not change the exit status."""
    return Finding(target, check, summary, "warning", code, facts)


def exit_status(found: list[Finding]) -> int:
    """Return the exit status of the command."""
    if not found:
        return UNCHECKED
    return FAULTY if any(finding.status == "fault" for finding in found) else HEALTHY


def as_document(found: list[Finding], *, took_ms: int) -> dict[str, Any]:
    """Return the document of `--json`."""
    worst: Status = max((finding.status for finding in found), key=("ok", "warning", "fault").index, default="ok")
    return {
        "format": FORMAT,
        "status": worst,
        "exit_status": exit_status(found),
        "took_ms": took_ms,
        "findings": [finding.as_json() for finding in found],
    }
