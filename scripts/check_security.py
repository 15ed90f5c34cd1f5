"""Check code with bandit and semgrep, and pinned packages with pip-audit.

Usage: check_security.py FOLDER_OF_THE_TOOLS

Every check prints one line with its counts. The status is 1 if any of them found something.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("*/*/src"))] + ["cli/src"]
RULES, EXAMPLES = "scripts/semgrep/rules.yaml", "scripts/semgrep/rules.py"
PINS = "requirements/all.txt"
BANDIT_SKIPPED = "B101,B404,B603"
"""Asserts state invariants, and subprocesses are started without a shell: the same choices as in Ruff's settings."""
STEP_TIMEOUT_SECONDS = 300.0
ENVIRONMENT = {
    **os.environ,
    "SEMGREP_SEND_METRICS": "off",
    "SEMGREP_ENABLE_VERSION_CHECK": "0",
    "COLUMNS": "120",
}


class CheckFailed(Exception):
    """A tool found something, or did not run."""


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool in the root of the clone."""
    return subprocess.run(
        [str(Path(sys.argv[1]) / tool), *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=STEP_TIMEOUT_SECONDS,
    )


def output_of(tool: str, *arguments: str) -> dict[str, Any]:
    """Run a tool that writes JSON; raises CheckFailed if it does not."""
    done = run(tool, *arguments)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise CheckFailed(f"did not run: {(done.stderr or done.stdout).strip()[-500:]}") from None
    return found


def lines_of(name: str, first: int, last: int) -> list[str]:
    """Return lines of a file, counted from 1."""
    return (ROOT / name).read_text(encoding="utf-8").splitlines()[first - 1 : last]


def check_bandit() -> str:
    """Report what bandit finds. Ruff's rule S608 is bandit's B608, so a reason beside `noqa: S608` counts for both."""
    report = output_of("bandit", "--quiet", "--recursive", *SOURCES, "--format", "json", "--skip", BANDIT_SKIPPED)
    found = []
    for issue in report["results"]:
        span = issue["line_range"]
        code = issue["test_id"].replace("B", "S", 1)
        if not any(re.search(rf"noqa: .*\b{code}\b", line) for line in lines_of(issue["filename"], span[0], span[-1])):
            found.append(f"{issue['filename']}:{issue['line_number']}: {issue['test_id']} {issue['issue_text']}")
    if report["errors"] or found:
        raise CheckFailed("\n".join([*map(str, report["errors"]), *found]))
    return f"{report['metrics']['_totals']['loc']} lines, no finding"


def check_semgrep_examples() -> str:
    """Check that the rules find what they must find, and nothing else, in the examples."""
    done = run("semgrep", "scan", "--test", "--metrics=off", "--disable-version-check", "--config", RULES, EXAMPLES)
    if done.returncode:
        raise CheckFailed((done.stdout + done.stderr)[-2000:])
    text = (ROOT / EXAMPLES).read_text(encoding="utf-8")
    return f"{text.count('# ruleid:')} faults found, {text.count('# ok:')} correct lines passed"


def check_semgrep() -> str:
    """Report what our own rules find in the product."""
    report = output_of(
        "semgrep", "scan", "--metrics=off", "--disable-version-check", "--config", RULES, "--json", *SOURCES
    )
    found = [
        f"{each['path']}:{each['start']['line']}: {each['check_id'].rpartition('.')[2]}: {each['extra']['message']}"
        for each in report["results"]
    ]
    if report["errors"] or found:
        raise CheckFailed("\n".join([*(str(error)[:500] for error in report["errors"]), *found]))
    rules = (ROOT / RULES).read_text(encoding="utf-8").count("- id:")
    return f"{rules} rules on {len(report['paths']['scanned'])} files, no finding"


def check_packages() -> str:
    """Report pinned packages with a published vulnerability, from the first database that answers."""
    for service in ("pypi", "osv"):
        try:
            options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off"]
            report = output_of("pip-audit", "-r", PINS, *options, "-s", service, "-f", "json")
        except CheckFailed:
            continue
        checked = [package for package in report["dependencies"] if "skip_reason" not in package]
        if not checked:
            continue
        if found := list(_vulnerabilities(checked)):
            raise CheckFailed("\n".join(found))
        unknown = len(report["dependencies"]) - len(checked)
        return f"{len(checked)} packages checked against {service}, no finding" + (
            f"; {unknown} unknown" * (unknown > 0)
        )
    return "NOT CHECKED: neither PyPI's nor OSV's vulnerability database can be reached from here"


def _vulnerabilities(packages: list[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for each in package.get("vulns", []):
            fixed = ", ".join(each["fix_versions"]) or "no version"
            yield f"{package['name']} {package['version']}: {each['id']}, fixed in {fixed}"


CHECKS: dict[str, Callable[[], str]] = {
    "bandit": check_bandit,
    "semgrep examples": check_semgrep_examples,
    "semgrep": check_semgrep,
    "pip-audit": check_packages,
}


def main() -> int:
    """Run every check and return the status."""
    failed = 0
    for name, check in CHECKS.items():
        try:
            print(f"{name}: {check()}", flush=True)
        except CheckFailed as error:
            failed = 1
            print(f"{name}: FAILED\n{error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
