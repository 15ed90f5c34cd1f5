"""Version, changelog and checksums of a release."""

import hashlib
import runpy
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from parley import __version__

SCRIPTS = Path(__file__).parents[2] / "scripts"
ROOT = SCRIPTS.parent
TEXT = """# Changelog

## [Unreleased]

### Added

- One thing.

## [0.1.0] - 2026-11-28

- The beginning.
"""


@pytest.fixture(scope="module")
def version() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "version.py"))


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return runpy.run_path(str(SCRIPTS / "release.py"))


def test_every_package_and_manifest_has_the_version_of_the_product(version: dict[str, Any]) -> None:
    assert version["differences"](ROOT) == []
    assert version["current"](ROOT) == __version__


def test_a_new_version_is_written_to_every_place(version: dict[str, Any], tmp_path: Path) -> None:
    for path in {path for path, _ in version["occurrences"](ROOT)}:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    places = len(list(version["occurrences"](tmp_path)))
    version["write"](tmp_path, "9.8.7-rc.1")
    assert [match[1] for _, match in version["occurrences"](tmp_path)] == ["9.8.7-rc.1"] * places
    (tmp_path / "cli/pyproject.toml").write_text('[project]\nname = "parley-cli"\nversion = "9.9.9"\n')
    assert len(version["differences"](tmp_path)) == 1


def test_a_release_has_every_service_and_every_package_that_it_needs(release: dict[str, Any]) -> None:
    assert set(release["SERVICES"]) == {path.name for path in (ROOT / "services").iterdir() if path.is_dir()}
    needed = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["tool"]["uv"]["sources"]
    assert needed.keys() <= {f"parley-{name}" for name in release["PACKAGES"]}


def test_unreleased_becomes_the_section_of_the_version(version: dict[str, Any]) -> None:
    text = version["release_changelog"](TEXT, "0.2.0", "2026-12-01")
    assert version["section"](text, "0.2.0") == "### Added\n\n- One thing."
    assert version["section"](text, "0.1.0") == "- The beginning."
    assert version["section"](text, "Unreleased") == ""
    assert text.index("[Unreleased]") < text.index("[0.2.0] - 2026-12-01") < text.index("[0.1.0]")


@pytest.mark.parametrize(
    ("text", "number"), [(TEXT, "0.1.0"), (TEXT.replace("- One thing.", "").replace("### Added", ""), "1.0.0")]
)
def test_a_version_without_changes_or_with_a_section_is_refused(
    version: dict[str, Any], text: str, number: str
) -> None:
    with pytest.raises(ValueError, match=r"CHANGELOG.md has"):
        version["release_changelog"](text, number, "2026-12-01")


def test_checksums_name_every_file(release: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/one.whl").write_bytes(b"one")
    (tmp_path / "install.yaml").write_bytes(b"two")
    release["write_checksums"](tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text().splitlines() == [
        f"{hashlib.sha256(b'two').hexdigest()}  install.yaml",
        f"{hashlib.sha256(b'one').hexdigest()}  wheels/one.whl",
    ]
