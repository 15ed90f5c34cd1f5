"""What `make run` prints."""

from pathlib import Path

import pytest

from parley_cli.settings import DEFAULT_DATA_DIR
from parley_cli.stack.demo_account import DemoLogin
from parley_cli.stack.ports import StackPorts
from parley_cli.stack.terminal import Terminal, admin_command


@pytest.mark.parametrize(
    ("data_dir", "command"),
    [
        (DEFAULT_DATA_DIR, ".venv/bin/parley admin"),
        (Path("/var/my data"), ".venv/bin/parley admin --data-dir '/var/my data'"),
    ],
)
def test_the_command_for_the_first_administrator_is_printed(
    data_dir: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = admin_command(".venv/bin/parley", data_dir)
    Terminal().print_ready(StackPorts(), DemoLogin("demo", "secret"), model="m", folder="f", admin_command=found)
    assert f"\n  {command} create-admin <username>\n" in capsys.readouterr().out


def test_with_an_administrator_no_command_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().print_ready(StackPorts(), DemoLogin("demo", "secret"), model="m", folder="f", admin_command=None)
    assert "create-admin" not in capsys.readouterr().out
