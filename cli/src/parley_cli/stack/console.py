"""What `make run` says while it starts, and when it is ready."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from parley_cli.stack.demo_account import Login
from parley_cli.stack.ports import Ports

READY = """
Parley is ready ({seconds:.1f} s).

  API         {url}  (the one address clients use)
  Docs        {url}/docs  (every operation, to be tried)
  Status      {status}  (the next ports: auth, chat, history)
  Model       {model}
  Data, logs  {folder}

  Demo login  {username} / {password}

Ask something, and watch the answer stream:

  TOKEN=$(curl -s {url}/api/v1/auth/token -d grant_type=password -d username={username} -d password='{password}' \\
    | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  curl -N {url}/api/v1/chat/stream -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{{"message": "Say hello in five words."}}'

Ctrl-C stops everything.
"""


class Console:
    """Prints progress, one line a step, to standard output."""

    def __init__(self) -> None:
        """Begin to count the seconds."""
        self.began = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say that a step began, and how long it took."""
        began = time.monotonic()
        yield
        self.say(f"  {what:<28} {time.monotonic() - began:5.1f} s")

    def ready(self, ports: Ports, login: Login, *, model: str, folder: str) -> None:
        """Say where everything is and how to get a first answer."""
        self.say(
            READY.format(
                seconds=time.monotonic() - self.began,
                url=ports.url("gateway"),
                status=f"http://127.0.0.1:{ports.first_admin}/status",
                model=model,
                folder=folder,
                username=login.username,
                password=login.password,
            )
        )

    @staticmethod
    def say(text: str) -> None:
        """Print a line at once."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
