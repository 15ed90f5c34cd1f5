"""Generated documents and their state in the repository."""

from pathlib import Path

from parley.config.settings import environment_names
from parley_cli.documents import pages
from parley_cli.documents.configuration import SETTINGS_CLASSES

ROOT = Path(__file__).resolve().parents[2]


def test_no_generated_document_is_out_of_date() -> None:
    assert pages.outdated(ROOT) == []


def test_the_example_lists_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {line.removeprefix("# ").partition("=")[0] for line in lines if line.startswith("# ") and "=" in line}
    settings = {variable for kind in SETTINGS_CLASSES for variable in environment_names(kind).values()}
    assert {name for name in named if name.isupper()} == settings


def test_the_example_contains_no_secret() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, found, value = line.removeprefix("# ").partition("=")
        if found and name.isupper() and name.endswith(("_KEY", "_SECRET")):
            assert value == ""
