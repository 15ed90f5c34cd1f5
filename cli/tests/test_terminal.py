"""What `make run` prints."""

from pathlib import Path

import pytest

from parley_cli.stack.demo_account import DemoLogin
from parley_cli.stack.ports import StackPorts
from parley_cli.stack.terminal import Terminal, admin_command


def test_the_command_for_the_first_administrator_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    found = admin_command("/opt/parley/.venv/bin/parley", Path("/var/my data"))
    Terminal().print_ready(StackPorts(), DemoLogin("demo", "secret"), model="m", folder="f", admin_command=found)
    command = "/opt/parley/.venv/bin/parley admin --data-dir '/var/my data' create-admin <username>"
    assert f"\n  {command}\n" in capsys.readouterr().out


def test_the_command_for_the_first_administrator_works_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = admin_command(".venv/bin/parley", Path(".parley"))
    assert words == f"{tmp_path}/.venv/bin/parley admin --data-dir {tmp_path}/.parley"


def test_with_an_administrator_no_command_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().print_ready(StackPorts(), DemoLogin("demo", "secret"), model="m", folder="f", admin_command=None)
    assert "create-admin" not in capsys.readouterr().out
