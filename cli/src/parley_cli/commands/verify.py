"""`parley verify`: comparison of chat's turns with history and with the published events."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from parley.config.settings import SettingsError, load
from parley.errors import ParleyError
from parley.observability import logs
from parley_cli.commands.shared import DataDirOption, fail, load_settings, require_package
from parley_cli.stack import connections

if TYPE_CHECKING:
    from chat.events.verification import VerificationReport

MAX_LINES = 100
DEFAULT_SETTLE = 5.0
NOT_RUNNING = "No server runs with this folder. Start it: parley run --data-dir {}"

SettleOption = Annotated[float, typer.Option(help="Skip turns that ended less than this many seconds ago.")]
RepairOption = Annotated[bool, typer.Option("--repair", help="Publish the events of missing and altered turns again.")]


def verify(settle: SettleOption = DEFAULT_SETTLE, repair: RepairOption = False, data_dir: DataDirOption = None) -> None:
    """Compare the turns that chat accepted with the turns that history stores.

    Exit status: 0 everything agrees, 1 something differs, 2 the comparison failed.
    """
    require_package("chat", "parley-chat", "parley verify")
    from chat.settings import ChatSettings
    from chat.wiring import verify_once

    local = load_settings(data_dir)
    logs.configure("error")
    try:
        found = connections.use(local.data_dir)
    except SettingsError as error:
        fail("parley verify", str(error), status=2)
    if not found and data_dir is not None:
        fail("parley verify", NOT_RUNNING.format(data_dir), status=2)
    try:
        settings = load(ChatSettings)
        report = asyncio.run(verify_once(settings, settle=settle, repair=repair))
    except (SettingsError, ParleyError, OSError) as error:
        fail("parley verify", str(error), status=2)
    except Exception as error:  # noqa: BLE001 - status 1 would say that something differs
        reason = next(iter(str(error).splitlines()), "")
        fail("parley verify", f"The comparison failed: {type(error).__name__} {reason}".rstrip(), status=2)
    typer.echo(render(report))
    raise typer.Exit(1 if report.findings else 0)


def render(report: "VerificationReport") -> str:
    """Return one line for each finding, then the totals."""
    lines = [f"{finding.kind} {finding.turn_id}" for finding in report.findings[:MAX_LINES]]
    if len(report.findings) > MAX_LINES:
        lines.append(f"… and {len(report.findings) - MAX_LINES} more")
    lines.append(
        f"{report.compared} turns compared, {len(report.findings)} wrong, "
        f"{report.waiting} waiting to be published, {report.repaired} events published again"
    )
    return "\n".join(lines)
