"""The `parley` command line."""

import pytest
import typer
from typer.testing import CliRunner

from parley import __version__
from parley_cli.commands.shared import require_package
from parley_cli.main import build


def test_the_help_lists_every_subcommand() -> None:
    result = CliRunner().invoke(build(), ["--help"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("run", "doctor", "verify", "admin", "events"))


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(build(), ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"parley {__version__}\n")


def test_a_missing_package_is_named_and_exits_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        require_package("no_such_package", "parley-none", "parley none")
    assert ended.value.exit_code == 2
    assert "parley none: The package parley-none is not installed." in capsys.readouterr().err
