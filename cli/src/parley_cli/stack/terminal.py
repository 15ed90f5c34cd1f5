"""Progress and instructions that `make run` prints."""

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parley_cli.stack.demo_account import DemoLogin
from parley_cli.stack.ports import StackPorts

READY = """
Parley is ready ({seconds:.1f} s).

  Console     {url}  (chat, account, and the pages of an operator)
  API         {url}  (base URL for clients)
  Docs        {url}/docs  (guides, and every operation with a form to try it)
  Status      {status}  (auth, chat, history and webhooks use the next four ports)
  Model       {model}
  Data, logs  {folder}

  Demo login  {username} / {password}

Send a message and watch the answer stream:

  TOKEN=$(curl -s {url}/api/v1/auth/token -d grant_type=password -d username={username} -d password='{password}' \\
    | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  curl -N {url}/api/v1/chat/stream -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{{"message": "Say hello in five words."}}'
{first_admin}
Press Ctrl-C to stop everything.
"""
FIRST_ADMIN = """
There is no administrator yet. To make one, run this in another terminal:

  {command} create-admin <username>
"""


def admin_command(program: str, data_dir: Path) -> str:
    """Return the words before a subcommand of `parley admin` on this stack; they work in every folder."""
    return shlex.join([str(Path(program).absolute()), "admin", "--data-dir", str(data_dir.absolute())])


class Terminal:
    """Standard output of the launcher, one line a step."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step, then print its name and duration."""
        started = time.monotonic()
        yield
        self.print(f"  {name:<28} {time.monotonic() - started:5.1f} s")

    def print_ready(
        self, ports: StackPorts, login: DemoLogin, *, model: str, folder: str, admin_command: str | None
    ) -> None:
        """Print the URLs, the demo login and a first request; ``admin_command`` if there is no administrator."""
        self.print(
            READY.format(
                seconds=time.monotonic() - self._started,
                url=ports.client_url(),
                status=f"http://127.0.0.1:{ports.first_admin}/status",
                model=model,
                folder=folder,
                username=login.username,
                password=login.password,
                first_admin=FIRST_ADMIN.format(command=admin_command) if admin_command else "",
            )
        )

    @staticmethod
    def print(text: str) -> None:
        """Print one line and flush it."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
