"""The version of the product, which every package and manifest repeats. Its source is the root pyproject.toml.

Usage: version.py [--check | set X.Y.Z]     set also turns "Unreleased" of CHANGELOG.md into the section of the version
"""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NUMBER = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?"
VERSION = re.compile(_NUMBER)
_PACKAGE = r'^name = "parley[\w-]*"\nversion = "(X)"'
SOURCE = "pyproject.toml"
PLACES = {
    SOURCE: (_PACKAGE,),
    "*/*/pyproject.toml": (_PACKAGE,),
    "cli/pyproject.toml": (_PACKAGE,),
    "libs/common/src/parley/__init__.py": (r'^__version__ = "(X)"',),
    "console/client/package.json": (r'^  "version": "(X)"',),
    "deploy/docker/*.Dockerfile": (r"^ARG VERSION=(X)",),
    "deploy/docker/README.md": (r"parley/\w+:(X)", r" VERSION=(X) "),
    "deploy/docker/bake.hcl": (r" VERSION=(X) ",),
    "deploy/k8s/**/*.yaml": (r"parley/[\w-]+:(X)", r"newTag: (X)", r"app\.kubernetes\.io/version: (X)"),
    "deploy/helm/rendered/*.yaml": (r"parley/[\w-]+:(X)", r'app\.kubernetes\.io/version: "(X)"'),
    "deploy/helm/parley/ci/*.yaml": (r"^  tag: (X)",),
    "deploy/helm/**/Chart.yaml": (r'^version: "?(X)', r'^appVersion: "?(X)'),
}
"""Files, and the places in them where the version is the first group; X stands for any version."""
CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## [Unreleased]"


def occurrences(root: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    """Yield each place that has a version."""
    for pattern, expressions in PLACES.items():
        for path in sorted(root.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            for expression in expressions:
                for match in re.finditer(expression.replace("X", _NUMBER), text, re.MULTILINE):
                    yield path, match


def current(root: Path) -> str:
    """Return the version of the product."""
    return next(match[1] for path, match in occurrences(root) if path == root / SOURCE)


def differences(root: Path) -> list[str]:
    """Return one line for each place with another version than the source."""
    wanted = current(root)
    return [
        f"{path.relative_to(root)}: {match[0].strip()}, but the version is {wanted}"
        for path, match in occurrences(root)
        if match[1] != wanted
    ]


def write(root: Path, version: str) -> None:
    """Set the version everywhere."""
    places: dict[Path, list[re.Match[str]]] = {}
    for path, match in occurrences(root):
        places.setdefault(path, []).append(match)
    for path, matches in places.items():
        text = path.read_text(encoding="utf-8")
        for match in sorted(matches, key=lambda each: -each.start(1)):
            text = text[: match.start(1)] + version + text[match.end(1) :]
        path.write_text(text, encoding="utf-8")


def release_changelog(text: str, version: str, date: str) -> str:
    """Return the changelog with "Unreleased" as the section of the version, below a new, empty one."""
    if f"\n## [{version}]" in text:
        raise ValueError(f"{CHANGELOG} has a section of {version} already.")
    if not section(text, "Unreleased"):
        raise ValueError(f"{CHANGELOG} has nothing under Unreleased.")
    return text.replace(f"{UNRELEASED}\n", f"{UNRELEASED}\n\n## [{version}] - {date}\n", 1)


def section(text: str, name: str) -> str:
    """Return what the changelog says about a version; empty if it has no such section."""
    found = re.search(rf"^## \[{re.escape(name)}\][^\n]*\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status."""
    match arguments:
        case [] | ["--check"]:
            wrong = differences(ROOT)
            if not arguments:
                print(current(ROOT))
            for line in wrong:
                print(line, file=sys.stderr)
            return bool(wrong)
        case ["set", version] if VERSION.fullmatch(version):
            path = ROOT / CHANGELOG
            try:
                text = release_changelog(path.read_text(encoding="utf-8"), version, f"{datetime.now(UTC):%Y-%m-%d}")
            except ValueError as error:
                print(f"version: {error}", file=sys.stderr)
                return 1
            path.write_text(text, encoding="utf-8")
            write(ROOT, version)
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
