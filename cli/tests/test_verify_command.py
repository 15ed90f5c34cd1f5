"""`parley verify`: output and exit status."""

from uuid import UUID

from typer.testing import CliRunner

from chat.events.verification import TurnFinding, VerificationReport
from parley_cli.commands.verify import MAX_LINES, render
from parley_cli.main import build

TURN = UUID("01a200aa-0000-7000-8000-000000000002")


def test_each_finding_is_one_line_before_the_totals() -> None:
    report = VerificationReport(compared=3, waiting=1, repaired=1, findings=[TurnFinding(TURN, "missing")])
    assert render(report).splitlines() == [
        f"missing {TURN}",
        "3 turns compared, 1 wrong, 1 waiting to be published, 1 events published again",
    ]


def test_a_long_list_of_findings_is_shortened() -> None:
    report = VerificationReport(compared=500, findings=[TurnFinding(TURN, "altered")] * (MAX_LINES + 7))
    lines = render(report).splitlines()
    assert len(lines) == MAX_LINES + 2
    assert lines[-2] == "… and 7 more"


def test_a_missing_setting_prints_one_line_and_exits_with_status_2() -> None:
    result = CliRunner().invoke(build(), ["verify"])
    assert result.exit_code == 2
    assert "parley verify: CHAT_DATABASE_URL: is required" in result.stderr
