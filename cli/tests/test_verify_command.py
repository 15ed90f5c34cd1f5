"""`parley verify`: output and exit status."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from chat.events.verification import TurnFinding, VerificationReport
from parley_cli.commands.verify import MAX_LINES, render
from parley_cli.main import build
from parley_testing.backends.shared_servers import SharedBackends

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


def test_a_missing_setting_prints_one_line_and_exits_with_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a server may run in this clone
    result = CliRunner().invoke(build(), ["verify"])
    assert result.exit_code == 2
    assert "parley verify: CHAT_DATABASE_URL: is required" in result.stderr


def test_a_data_folder_without_a_running_server_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(build(), ["verify", "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert f"Start it: parley run --data-dir {tmp_path}" in result.stderr


@pytest.mark.integration
async def test_a_database_that_refuses_the_login_is_no_difference(
    backends: SharedBackends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_DATABASE_URL", (await backends.database_url()).replace("/postgres", "/nothing", 1))
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9")
    for name in ("AUTH_URL", "HISTORY_URL", "JWKS_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    result = await asyncio.to_thread(CliRunner().invoke, build(), ["verify"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("parley verify: The comparison failed: InvalidCatalogNameError")
