"""Print branch coverage for each package, and the modules with the most uncovered lines. Reads `.coverage`.

Usage: coverage_table.py [--missing PACKAGE]     --missing lists the uncovered lines and branches of each module
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

MODULES_SHOWN = 15
Summary = Counter[str]


def read_report() -> dict[str, dict[str, Any]]:
    """Return coverage.py's report of each file, by path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(path)]
        subprocess.run(command, check=True, timeout=300)
        files: dict[str, dict[str, Any]] = json.loads(path.read_text())["files"]
    return files


def package_of(path: str) -> str:
    """Return the import name of the package that contains a file."""
    parts = Path(path).parts
    return parts[parts.index("src") + 1] if "src" in parts else parts[0]


def percent(covered: int, total: int) -> str:
    return f"{100 * covered / total:.1f} %" if total else "-"


def print_packages(files: dict[str, dict[str, Any]]) -> None:
    """Print one line for each package and the total."""
    packages: defaultdict[str, Summary] = defaultdict(Counter)
    for path, report in files.items():
        for name in (package_of(path), "total"):
            packages[name].update({key: value for key, value in report["summary"].items() if isinstance(value, int)})
    print(f"{'package':<18}{'statements':>12}{'lines':>10}{'branches':>10}{'branch cov.':>13}")
    for name in [*sorted(packages.keys() - {"total"}), "total"]:
        sums = packages[name]
        lines = percent(sums["covered_lines"], sums["num_statements"])
        branches = percent(sums["covered_branches"], sums["num_branches"])
        print(f"{name:<18}{sums['num_statements']:>12}{lines:>10}{sums['num_branches']:>10}{branches:>13}")


def print_modules(files: dict[str, dict[str, Any]]) -> None:
    """Print the modules with the most uncovered lines."""
    print(f"\nmost uncovered lines{'':<52}{'lines':>8}")
    ordered = sorted(files.items(), key=lambda item: -item[1]["summary"]["missing_lines"])
    for path, report in ordered[:MODULES_SHOWN]:
        print(f"  {path:<70}{report['summary']['missing_lines']:>8}")


def print_missing(files: dict[str, dict[str, Any]], package: str) -> None:
    """Print the uncovered lines and branches of a package's modules."""
    for path, report in sorted(files.items()):
        if package_of(path) == package and (report["missing_lines"] or report["missing_branches"]):
            branches = [f"{start}->{end}" for start, end in report["missing_branches"]]
            print(f"{path}\n  lines {report['missing_lines']}\n  branches {', '.join(branches) or '-'}")


def main() -> None:
    files = read_report()
    if sys.argv[1:2] == ["--missing"]:
        print_missing(files, sys.argv[2])
        return
    print_packages(files)
    print_modules(files)


if __name__ == "__main__":
    main()
