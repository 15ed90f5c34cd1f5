"""The command `parley verify`: does history have what was accepted? Exit status: 0 yes, 1 no, 2 cannot be told."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from chat.events.verification import VerificationReport
from chat.settings import ChatSettings
from chat.wiring import verify_once
from parley.config.settings import SettingsError, load
from parley.errors import ParleyError
from parley.observability import logs

SHOWN = 100
SETTLE = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare once and print what is wrong."""
    options = _parser().parse_args(arguments)
    logs.configure("error")
    try:
        settings = load(ChatSettings)
        report = asyncio.run(verify_once(settings, settle=options.settle, repair=options.repair))
    except (SettingsError, ParleyError, OSError) as error:
        sys.stderr.write(f"verify: {error}\n")
        return 2
    sys.stdout.write(render(report))
    return 1 if report.findings else 0


def render(report: VerificationReport) -> str:
    """Return the report for people: a line a finding, then the count."""
    lines = [f"{finding.kind} {finding.turn_id}" for finding in report.findings[:SHOWN]]
    if len(report.findings) > SHOWN:
        lines.append(f"… and {len(report.findings) - SHOWN} more")
    lines.append(
        f"{report.compared} turns compared, {len(report.findings)} wrong, "
        f"{report.waiting} waiting to be published, {report.repaired} events published again"
    )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parley verify", description=__doc__)
    parser.add_argument("--repair", action="store_true", help="publish again what is missing or altered")
    parser.add_argument(
        "--settle", type=float, default=SETTLE, help="leave out turns that ended less than so many seconds ago"
    )
    return parser
