"""Results of cells: the file that keeps the newest of each, and the table that is made from it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from blackout.cells import KINDS, Cell, Kind, matrix
from blackout.traffic import NO_ANSWER, Answer

BEGIN, END = "<!-- blackout: begin -->", "<!-- blackout: end -->"
HEADER = (
    "| what | seconds | streams | turns | reads | logins | noticed after | works again after | alerts |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass
class KindResult:
    """What users got for one kind of request during a fault."""

    statuses: dict[str, int] = field(default_factory=dict)
    """Number of answers by status, or by the class of the error of a broken connection."""
    slowest: float = 0.0
    """Seconds of the slowest answer."""
    settled: float = 0.0
    """The same, of the requests that were sent ten seconds after the fault or later."""

    def __str__(self) -> str:
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        only = next(iter(self.statuses)) if len(self.statuses) == 1 else counts
        return f"{only} in {_seconds(self.slowest)}" + (
            f" (later {_seconds(self.settled)})" if self.slowest - self.settled >= 1 and self.settled else ""
        )


@dataclass
class CellResult:
    """The measured figures of one cell."""

    cell: str
    seconds: float
    streams: dict[str, int] = field(default_factory=dict)
    """Number of streams by the status in which their turns ended."""
    resumed: int = 0
    """How often a client had to resume a stream."""
    kinds: dict[str, KindResult] = field(default_factory=dict)
    noticed: float | None = None
    """Seconds until ``/status`` of a chat called the dependency down; None if it did not."""
    recovered: float = 0.0
    """Seconds until everything worked, from the end of the fault, or from its beginning if servers elect."""
    turns: int = 0
    """Accepted turns, each of which history stored once."""
    growth: int = 0
    """Most MiB by which a process grew."""
    alerts: list[str] | None = None
    """Alerts that fired on the recorded metrics; None if they were not judged."""
    problems: list[str] = field(default_factory=list)


def summarize(kind: Kind, answers: Iterable[Answer], began: float) -> KindResult:
    """Return the result of one kind of request."""
    mine = [answer for answer in answers if answer.kind == kind]
    statuses = Counter(str(a.status) if a.status != NO_ANSWER else a.code for a in mine)
    late = [answer.seconds for answer in mine if answer.sent_at >= began + 10]
    return KindResult(dict(statuses), max((a.seconds for a in mine), default=0.0), max(late, default=0.0))


def forbidden(cell: Cell, answers: Iterable[Answer]) -> list[str]:
    """Return a line for each kind and status that the cell does not allow."""
    found = Counter((a.kind, a.status, a.code) for a in answers if not cell.allows(a.kind, a.status))
    return [f"{kind}: {count} x {status} {code}".rstrip() for (kind, status, code), count in sorted(found.items())]


def load(path: Path) -> dict[str, CellResult]:
    """Return the results of a file by cell; none if it does not exist."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    results = [
        CellResult(**{**one, "kinds": {name: KindResult(**kind) for name, kind in one["kinds"].items()}})
        for one in found
    ]
    return {result.cell: result for result in results}


def save(path: Path, results: Iterable[CellResult]) -> None:
    """Write the results to a file, over those of the same cells, in the order of the matrix."""
    kept = load(path) | {result.cell: result for result in results}
    ordered = [asdict(kept[cell.name]) for cell in matrix() if cell.name in kept]
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(results: dict[str, CellResult]) -> str:
    """Return the table of all results."""
    rows = [_row(results[cell.name]) for cell in matrix() if cell.name in results]
    return "\n".join([HEADER, *rows])


def with_table(page: str, results: dict[str, CellResult]) -> str:
    """Return a page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(results)}\n{END}{after}"


def _row(result: CellResult) -> str:
    streams = ", ".join(f"{count} {status}" for status, count in sorted(result.streams.items()))
    if result.resumed:
        streams += f", {result.resumed} resumed"
    kinds = [str(result.kinds.get(kind, "-")) for kind in KINDS]
    noticed = "-" if result.noticed is None else _seconds(result.noticed)
    alerts = "-" if result.alerts is None else ", ".join(result.alerts).replace("Parley", "") or "none"
    cells = [result.cell, f"{result.seconds:g}", streams, *kinds, noticed, _seconds(result.recovered), alerts]
    return f"| {' | '.join(cells)} |"


def _seconds(value: float) -> str:
    return f"{value:.1f} s"
