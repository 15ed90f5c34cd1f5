"""The runbook's table of measured outages."""

from pathlib import Path

from blackout.results import load, with_table

ROOT = Path(__file__).resolve().parents[2]


def test_the_runbook_shows_the_results_of_the_last_runs() -> None:
    page, results = (ROOT / "docs/runbook.md").read_text(encoding="utf-8"), load(ROOT / "docs/blackout.json")
    assert page == with_table(page, results)
    assert [result.cell for result in results.values() if result.problems] == []
