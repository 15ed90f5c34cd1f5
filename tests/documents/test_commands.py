"""Every command that a document shows is run here, or listed as not runnable here with the reason."""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from typer.testing import CliRunner, Result

from fake_provider.process import FakeProvider
from parley_cli.documents.configuration import settings
from parley_cli.main import build
from parley_cli.settings import LocalSettings
from parley_cli.stack.refused_settings import require_obeyed
from parley_embedded.process.tool import run_tool
from parley_testing.stacks.commands import environment
from parley_testing.stacks.embedded import EmbeddedStack

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "cli/README.md", "tests/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
    *("deploy/docker/README.md", "deploy/k8s/README.md", "libs/fake-provider/README.md", "libs/events/README.md"),
)
SHELL_BLOCK = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
ASSIGNMENTS = re.compile(r"\A(?:[A-Z_]+=\S+ )+(?=\S)")
PROGRAMS = ("parley", "make", "docker", "kubectl", "curl", "git", "pip", "python", "cp", "psql")
IN_CONTAINER = re.compile(r"(?:docker compose exec (?!rabbitmq)\w+|kubectl -n parley exec deployment/\w+ --) ")
PARLEY = re.compile(r"(?:\.venv/bin/)?parley (?:admin|verify)\b|parley-auth ")
PROVIDER = {"OPENAI_API_KEY", "OPENAI_BASE_URL"}
MAKE = re.compile(r"""make [\w-]+(?: [A-Z]+=(?:"[^"]*"|[^\s"]+))*$""")

CUT_CONNECTION = 56
"""Exit status of curl for a connection that the fake provider cuts because the documented command asks for it."""
NOT_RUNNABLE = {
    r"git clone <this repository> parley && cd parley": "names no repository",
    r"(parley run|parley-fake-provider --port 8100 .*)": "a server that runs until Ctrl-C; the tests start both",
    r"([A-Z_]+=\S+ )*docker (compose (up|down|build|run|exec rabbitmq).*|buildx .*|run .*)": "needs Docker",
    r"deploy/docker/(upgrade|rotate-secrets)": "needs Docker",
    r"git pull": "changes the clone",
    r"(kubectl|kind|KUBECONFIG=\S+) .*": "needs a cluster",
    r"([A-Z_]+=\S+ )*deploy/k8s/(make-secrets|keep-replicas)( >secrets\.yaml)?": "tests/deploy runs both",
    r"(\.venv/bin/)?python (-m pytest|tests/bench/\S+) ?.*": "the tests themselves, and benchmarks that take minutes",
    r"(\.venv/bin/)?parley (backup|restore)( .*)?": "cli/tests and the restore drill run them",
    r"parley doctor.*": "cli/tests run it",
    r'psql "\$AUTH_DATABASE_URL" -c .DELETE FROM signing_keys.': "needs a stopped auth",
    r"(PARLEY_VERSION=… )?docker compose (.*compose.backup.yml .*|up --wait)": "needs Docker",
    r"(git commit -am .release: .*|ssh-keygen -Y verify .*)": "the commit and the signature of a release",
    r"parley events.*": "needs RabbitMQ, which the product of these tests has not: cli/tests run the subcommands",
    r"(pip install \./libs/events|uv build --package parley-events)": "the setup of the tests installs the package so",
}
"""Commands that no test can run, by pattern, with the reason."""


@dataclass(frozen=True, slots=True)
class DocumentedCommand:
    """A command as a document shows it, on one line and without its comment."""

    document: str
    text: str

    @property
    def bare(self) -> str:
        """The command without variables before it and without the way into a container."""
        return IN_CONTAINER.sub("", ASSIGNMENTS.sub("", self.text, count=1))


def documented() -> Iterator[DocumentedCommand]:
    """Return the commands in shell blocks and in spans that begin with a program, in the order of the documents."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for block in SHELL_BLOCK.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s+", " ", re.sub(r"(^|\s)#\s.*$", "", line)).strip().removeprefix("$ ")
                if command:
                    yield DocumentedCommand(document, command)
        for span in SPAN.findall(BLOCK.sub("", text)):
            program, _, arguments = ASSIGNMENTS.sub("", span, count=1).partition(" ")
            if arguments and (program in PROGRAMS or program.startswith(("parley-", ".venv/bin/", "deploy/"))):
                yield DocumentedCommand(document, span)


def reason(command: DocumentedCommand) -> str | None:
    """Return why no test can run a command. That of a container is run without the container."""
    text = command.bare if IN_CONTAINER.match(command.text) else command.text
    return next((why for pattern, why in NOT_RUNNABLE.items() if re.fullmatch(pattern, text)), None)


def is_parley(command: DocumentedCommand) -> bool:
    return PARLEY.match(command.bare) is not None


def is_make(command: DocumentedCommand) -> bool:
    return MAKE.match(command.bare) is not None


def is_shell(command: DocumentedCommand) -> bool:
    start = r"(curl|TOKEN=|API=|cp -r|deploy/docker/make-secrets)"
    return re.match(start, command.bare) is not None or re.match(start, command.text) is not None


COMMANDS = list(dict.fromkeys(documented()))
RUNNABLE = [command for command in COMMANDS if reason(command) is None]


def test_every_documented_command_is_run_or_listed_with_a_reason() -> None:
    unknown = [c for c in RUNNABLE if not (is_parley(c) or is_make(c) or is_shell(c))]
    assert unknown == []
    assert len(COMMANDS) > 90


def test_every_reason_is_of_a_command_that_a_document_shows() -> None:
    texts = [command.text for command in COMMANDS]
    unused = [pattern for pattern in NOT_RUNNABLE if not any(re.fullmatch(pattern, text) for text in texts)]
    assert unused == []


def test_every_documented_target_of_make_exists() -> None:
    calls = {command.bare for command in RUNNABLE if is_make(command)}
    assert "make run" in calls
    plain = sorted(call.split()[1] for call in calls if "=" not in call)
    for arguments in (plain, *(shlex.split(call)[1:] for call in calls if "=" in call)):
        done = subprocess.run(
            ["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr


def test_every_variable_before_a_documented_make_run_is_obeyed() -> None:
    known = {setting.name for setting in settings()}
    for command in RUNNABLE:
        if is_make(command) and command.text != command.bare:
            given = dict(word.split("=", 1) for word in command.text.removesuffix(command.bare).split())
            assert set(given) <= known
            local = LocalSettings(openai_base_url="http://localhost" if set(given) & PROVIDER else None)
            require_obeyed(local, given)


@pytest.mark.e2e
async def test_the_documented_requests_work_with_the_product(
    embedded: EmbeddedStack, provider: FakeProvider, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    password = (embedded.folder / "data" / "demo-password").read_text().strip()
    found = '$(sed -n \'s/.*"{0}":"\\([^"]*\\)".*/\\1/p\' out/* | head -n1)'
    replaced = {
        "localhost:8000": embedded.url,
        "localhost:8100/v1": provider.base_url,
        "password='…'": f"password='{password}'",
        "<turn_id>": found.format("turn_id"),
        "<id>": found.format("conversation_id"),
    }
    lines = ['curl() { command curl --silent --show-error --fail-with-body --max-time 60 "$@"; }', "mkdir out"]
    run = [command.text for command in RUNNABLE if is_shell(command)]
    for number, command in enumerate(run):
        text = command
        for placeholder, value in replaced.items():
            text = text.replace(placeholder, value)
        expected = CUT_CONNECTION if "cut_after" in command else 0
        lines.append(f"{{ {text}\n}} >out/{number} 2>&1; [ $? = {expected} ] || {{ echo {number}; cat out/{number}; }}")
    script = "\n".join(lines)
    _, output = await run_tool("bash", "-c", script, seconds=120, folder=tmp_path, environment=environment())
    assert output == "", run


@pytest.mark.e2e
async def test_the_documented_commands_of_parley_work_with_the_product(embedded: EmbeddedStack) -> None:
    folder = str(embedded.folder / "data")
    words = [shlex.split(command.bare.replace("<folder>", folder)) for command in RUNNABLE if is_parley(command)]
    calls = [["admin", *rest] if program == "parley-auth" else rest for program, *rest in words]
    assert {call[0] for call in calls} == {"admin", "verify"}
    for call in dict.fromkeys(map(tuple, calls)):
        done = await asyncio.to_thread(parley, (*call, "--help") if call == ("admin",) else call, folder)
        assert done.exit_code == 0, (call, done.output)


def parley(arguments: tuple[str, ...], folder: str) -> Result:
    """Run a command as in the clone. It changes its environment, which is restored."""
    with mock.patch.dict(os.environ, environment(PARLEY_DATA_DIR=folder), clear=True):
        return CliRunner().invoke(build(), arguments)
