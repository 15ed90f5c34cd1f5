# ruff: noqa: INP001 - a program of the image build, not a package
"""Licences of the installed packages as text: name, version, licence, and the licence files of each package."""

import sys
from importlib import metadata
from pathlib import Path

LICENCE_FILES = ("licen", "copying", "notice", "authors")
HEADER = "Parley contains the following packages of third parties.\n"


def licence_of(package: metadata.Distribution) -> str:
    """Return the licence that the package declares, in one line."""
    declared = package.metadata.get("License-Expression") or (package.metadata.get("License") or "").partition("\n")[0]
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in package.metadata.get_all("Classifier") or ()
        if each.startswith("License ::")
    ]
    return declared.strip() or ", ".join(classifiers) or "see the files below"


def texts_of(package: metadata.Distribution) -> list[str]:
    """Return the contents of the licence files that the package contains."""
    files = [
        each
        for each in package.files or ()
        if ".dist-info" in str(each) and each.name.lower().startswith(LICENCE_FILES)
    ]
    return [
        Path(package.locate_file(each)).read_text(encoding="utf-8", errors="replace").strip()
        for each in sorted(files, key=str)
    ]


def main() -> None:
    """Print the notices of every installed package."""
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(f"{HEADER}\n")
    for package in sorted(metadata.distributions(), key=lambda each: each.name.lower()):
        sys.stdout.write(f"{'=' * 100}\n{package.name} {package.version}\n{licence_of(package)}\n\n")
        for text in texts_of(package):
            sys.stdout.write(f"{text}\n\n")


if __name__ == "__main__":
    main()
