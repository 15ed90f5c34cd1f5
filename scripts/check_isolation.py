"""Install each package alone into an empty environment, import its modules and run its unit tests.

A package that uses an undeclared dependency fails here. Usage: check_isolation.py [PACKAGE ...]
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".tools" / "uv" / "bin" / "uv"
STEP_TIMEOUT_SECONDS = 300.0
IMPORT_LIMIT_SECONDS = 1.5
IMPORT_TRIES = 3
PASSED_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "CI", "SSL_CERT_FILE", "UV_")
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

def load(name):
    module = importlib.import_module(name)
    for child in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if child.name != "__main__" and child.name not in sys.argv[2:]:
            load(name + "." + child.name)

load(sys.argv[1])
"""

CREATE_SERVER = """
import importlib, sys
from pydantic import SecretStr
from parley.web import server

name = sys.argv[1]
kinds = vars(importlib.import_module(name + ".settings")).values()
kind = next(k for k in kinds if isinstance(k, type) and getattr(k, "service", None) == name)
secret = SecretStr("00" * 32)
settings = kind.model_construct(database_url=secret, redis_url=secret, auth_secret_key=secret)
app = importlib.import_module(name + ".main").create_app(settings)
server.make_server(app, settings).config.load()
"""


@dataclass(frozen=True)
class Member:
    name: str
    folder: str
    module: str
    neighbours: tuple[str, ...] = ("libs/common", "libs/events")
    """Folders of the members that this one depends on."""
    optional_rooms: tuple[str, ...] = ()
    """Packages inside the module that need an extra. Unit tests of such a member are not run."""
    modules_of_extras: tuple[str, ...] = ()
    """Modules that need an extra, which the environment of the unit tests has."""
    requirements: str = ""
    """File in ``requirements/`` without ``.txt``, if it is not named after the member."""

    @property
    def sources(self) -> list[str]:
        return [self.folder, *self.neighbours]


MEMBERS = (
    Member("events", "libs/events", "parley_events", (), modules_of_extras=("metrics", "postgres", "redis", "tracing")),
    Member("common", "libs/common", "parley", ("libs/events",)),
    Member("embedded", "libs/embedded", "parley_embedded", ()),
    Member(
        "testkit",
        "libs/testkit",
        "parley_testing",
        ("libs/common", "libs/events", "libs/embedded"),
        requirements="testing",
    ),
    Member("fake-provider", "libs/fake-provider", "fake_provider", ()),
    Member("gateway", "services/gateway", "gateway"),
    Member("auth", "services/auth", "auth"),
    Member("chat", "services/chat", "chat"),
    Member("history", "services/history", "history"),
    Member("webhooks", "services/webhooks", "webhooks"),
    Member("cli", "cli", "parley_cli", optional_rooms=("documents", "model", "stack")),
)
TEST_SOURCES = ("libs/testkit", "libs/embedded", "libs/common", "libs/events", "libs/fake-provider")


@dataclass(frozen=True)
class IsolationResult:
    member: Member
    import_seconds: float | None
    tests: str
    failure: str | None


class StepError(Exception):
    """A step failed. The message names the step; its output has been printed."""


class Environment:
    """Virtual environment in a temporary folder, which is also the working folder of its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        self._variables = {
            name: value for name, value in os.environ.items() if name.startswith(PASSED_VARIABLES) and value
        }

    def run(self, step: str, command: Iterable[str | Path], accepted: tuple[int, ...] = (0,)) -> str:
        """Run a command and return its output. When it fails, print the output and raise `StepError`."""
        process = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_TIMEOUT_SECONDS,
            check=False,
        )
        if process.returncode not in accepted:
            print(process.stdout, flush=True)
            raise StepError(step)
        return process.stdout

    def create(self) -> None:
        self.run("create", [UV, "venv", "--quiet", "--python", sys.executable, "venv"])

    def install_pins(self, name: str) -> None:
        pins = ROOT / "requirements" / f"{name}.txt"
        self.run(f"install {name}.txt", [*self._installer(), "--no-deps", "--require-hashes", "-r", pins])

    def install_sources(self, folders: list[str]) -> None:
        if folders:
            self.run("install", [*self._installer(), "--no-deps", "--offline", *[ROOT / folder for folder in folders]])

    def _installer(self) -> list[str | Path]:
        return [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", self.python]


def import_seconds(environment: Environment, member: Member) -> float:
    """Import every module with warnings as errors; return the CPU seconds that the import of the main module takes."""
    left_out = [*member.optional_rooms, *member.modules_of_extras]
    environment.run("import", [environment.python, "-W", "error", "-c", IMPORT_EVERYTHING, member.module, *left_out])
    has_main = (ROOT / member.folder / "src" / member.module / "main.py").exists()
    statement = f"import {member.module}.main" if has_main else f"import {member.module}"
    timings = []
    for _ in range(IMPORT_TRIES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment.run("import", [environment.python, "-W", "error", "-c", statement])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        timings.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(timings)


def run_unit_tests(environment: Environment, member: Member) -> str:
    """Run the member's unit tests in the environment's folder and return the last line of pytest."""
    output = environment.run(
        "unit tests",
        [
            *(environment.python, "-m", "pytest", ROOT / member.folder / "tests"),
            *("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider"),
            *("-q", "-W", "error", "-m", "not integration and not e2e and not chaos"),
        ],
    )
    return output.strip().rpartition("\n")[2].strip("= ")


def check(member: Member) -> IsolationResult:
    """Check one member in a temporary environment."""
    seconds: float | None = None
    tests = "-"
    with tempfile.TemporaryDirectory(prefix="parley-isolated-") as folder:
        environment = Environment(Path(folder))
        try:
            environment.create()
            environment.install_pins(member.requirements or member.name)
            environment.install_sources(member.sources)
            seconds = import_seconds(environment, member)
            if seconds > IMPORT_LIMIT_SECONDS:
                failure = f"import takes more than {IMPORT_LIMIT_SECONDS} CPU seconds"
                return IsolationResult(member, seconds, tests, failure)
            if member.folder.startswith("services/"):
                environment.run("server", [environment.python, "-W", "error", "-c", CREATE_SERVER, member.module])
            if member.optional_rooms:
                return IsolationResult(member, seconds, tests, None)
            environment.install_pins("testing")
            environment.install_sources([folder for folder in TEST_SOURCES if folder not in member.sources])
            tests = run_unit_tests(environment, member)
        except StepError as error:
            return IsolationResult(member, seconds, tests, f"{error}")
        except subprocess.TimeoutExpired:
            return IsolationResult(member, seconds, tests, f"a step took more than {STEP_TIMEOUT_SECONDS:.0f} s")
    return IsolationResult(member, seconds, tests, None)


def print_table(outcomes: list[IsolationResult]) -> None:
    print(f"\n{'package':<16}{'import':>8}  result")
    for outcome in outcomes:
        seconds = f"{outcome.import_seconds:.2f} s" if outcome.import_seconds is not None else "-"
        result = f"FAILED: {outcome.failure}" if outcome.failure else outcome.tests
        print(f"{outcome.member.name:<16}{seconds:>8}  {result}")


def main() -> None:
    """Check the named packages or all of them; exit with status 1 if one fails."""
    wanted = set(sys.argv[1:]) or {member.name for member in MEMBERS}
    unknown = wanted - {member.name for member in MEMBERS}
    if unknown:
        raise SystemExit(
            f"parley: unknown package: {', '.join(sorted(unknown))}. Known: {', '.join(m.name for m in MEMBERS)}."
        )
    outcomes = []
    for member in MEMBERS:
        if member.name in wanted:
            print(f"parley: {member.name} alone in an empty environment", flush=True)
            outcomes.append(check(member))
    print_table(outcomes)
    if any(outcome.failure for outcome in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
