"""`parley doctor`: checks of a running system, or of this machine before `parley run`."""

import asyncio
import importlib.util
import json
import os
from pathlib import Path
from typing import Annotated

import typer

from parley.config.settings import DEFAULT_SECRETS_DIR, SettingsError
from parley.observability import logs
from parley_cli.commands.shared import AdminPortOption, DataDirOption, PortOption, fail, load_settings, require_package
from parley_cli.settings import LocalSettings
from parley_cli.stack import connections

COMMAND = "parley doctor"
MISUSED = 2
SETTINGS_OF_A_SYSTEM = (
    "AUTH_DATABASE_URL",
    "CHAT_DATABASE_URL",
    "HISTORY_DATABASE_URL",
    "WEBHOOKS_DATABASE_URL",
    "AMQP_URL",
)
"""One of these in the environment, or as a secret file, says that a system runs with the settings of this shell."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document (format parley.doctor/1).")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, max=60, help="Seconds of each check; all run at once.")]
AdminUrlOption = Annotated[
    list[str] | None,
    typer.Option("--admin-url", metavar="NAME=URL", help="Admin port of a process, such as chat=http://10.0.0.7:9002."),
]
BeforeRunOption = Annotated[
    bool, typer.Option("--before-run", help="Check what `parley run` needs, even if settings of a system are here.")
]


def doctor(
    port: PortOption = None,
    admin_port: AdminPortOption = None,
    data_dir: DataDirOption = None,
    *,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 5.0,
    admin_url: AdminUrlOption = None,
    before_run: BeforeRunOption = False,
) -> None:
    """Check a running system; without one, what `parley run` needs. Nothing is started or changed.

    A system is the running stack of the data folder, or what the settings of the environment name.

    Exit status: 0 no fault, 1 a fault, 2 wrong usage, or nothing could be checked.
    """
    settings = load_settings(data_dir, port=port, admin_port=admin_port)
    if not before_run and (_uses_running_stack(settings) or admin_url or _has_system_settings()):
        _check_system(settings, as_json=as_json, timeout=timeout, admin_urls=admin_url)
    _check_machine(settings)


def _uses_running_stack(settings: LocalSettings) -> bool:
    try:
        return connections.use(settings.data_dir)
    except SettingsError as error:
        fail(COMMAND, str(error), status=MISUSED)


def _has_system_settings() -> bool:
    if importlib.util.find_spec("parley_embedded") is None:
        return True  # the image of a service
    folder = Path(os.environ.get("SECRETS_DIR", DEFAULT_SECRETS_DIR))
    return any(os.environ.get(name) or (folder / name.lower()).exists() for name in SETTINGS_OF_A_SYSTEM)


def _check_system(settings: LocalSettings, *, as_json: bool, timeout: float, admin_urls: list[str] | None) -> None:
    from parley_cli.diagnosis.checks import check_system
    from parley_cli.diagnosis.findings import UNCHECKED, as_document, exit_status
    from parley_cli.diagnosis.system import read_system

    logs.configure("critical")
    stored = os.environ.get(connections.ADMIN_URLS, "")
    named = _named_urls(admin_urls or [each for each in stored.split(",") if each])
    system = read_system(named or None)
    if settings.data_dir.exists():
        system.folders["data folder"] = settings.data_dir
    found, took_ms = asyncio.run(check_system(system, timeout))
    if as_json:
        typer.echo(json.dumps(as_document(found, took_ms=took_ms), indent=2))
    else:
        for finding in found:
            typer.echo(finding.as_line())
    if exit_status(found) == UNCHECKED:
        fail(COMMAND, "Nothing to check: no setting names a database, Redis or a service.", status=UNCHECKED)
    raise typer.Exit(exit_status(found))


def _named_urls(given: list[str]) -> dict[str, str]:
    from parley_cli.diagnosis.checks import numbered

    named: dict[str, set[str]] = {}
    for name, _, url in (each.partition("=") for each in given):
        if not url.startswith(("http://", "https://")):
            fail(COMMAND, "--admin-url: use NAME=URL, such as chat=http://10.0.0.7:9002.", status=MISUSED)
        named.setdefault(name, set()).add(url)
    return dict(each for name, urls in named.items() for each in numbered(name, urls))


def _check_machine(settings: LocalSettings) -> None:
    require_package("parley_embedded", "parley-cli[local]", COMMAND)
    from parley_cli.stack import preflight
    from parley_cli.stack.ports import StackPorts

    results = list(preflight.check_all(settings, StackPorts.from_settings(settings)))
    for result in results:
        status = "ok  " if result.problem is None else "FAIL"
        typer.echo(f"{status}  {result.name:<12} {result.problem or ''}".rstrip())
    raise typer.Exit(1 if any(result.problem for result in results) else 0)
