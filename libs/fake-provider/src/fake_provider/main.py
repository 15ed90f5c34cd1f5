"""The command `parley-fake-provider`."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from fake_provider.app import create_app
from fake_provider.journal import CallJournal
from fake_provider.knobs import InvalidKnobError, Knobs, with_changes
from fake_provider.server import raise_file_limit, serve

ENV_PREFIX = "FAKE_PROVIDER_"
BACKLOG = 4096


def main(argv: Sequence[str] | None = None) -> None:
    """Run the provider until SIGTERM, SIGINT or, with `--until-stdin-closes`, the end of standard input."""
    parser = build_parser(os.environ)
    options = parser.parse_args(argv)
    try:
        knobs = with_changes(Knobs(), _knob_options(options))
        listener = _listen(options)
    except InvalidKnobError as error:
        parser.error(error.message)
    except OSError as error:
        parser.error(f"cannot listen on {options.host}:{options.port}: {error}")
    journal = CallJournal(size=options.journal_size, bodies=options.journal_bodies)
    raise_file_limit()
    serve(create_app(knobs, models=options.model, journal=journal), listener, until_eof=options.until_stdin_closes)


def build_parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser. The default of each option is the environment variable `FAKE_PROVIDER_<OPTION>`."""
    parser = argparse.ArgumentParser(prog="parley-fake-provider", description="An OpenAI-compatible model server.")
    parser.add_argument("--host", default=environ.get(f"{ENV_PREFIX}HOST", "127.0.0.1"))
    parser.add_argument(
        "--port", type=_port, default=environ.get(f"{ENV_PREFIX}PORT", "8100"), help="0 = any free port"
    )
    parser.add_argument("--fd", type=int, help="file descriptor of a listening socket to use instead")
    parser.add_argument("--model", nargs="+", default=["fake"], help="names that /v1/models lists")
    parser.add_argument("--journal-size", type=_size, default="100000", help="calls to store, 0 to 1,000,000")
    parser.add_argument(
        "--no-journal-bodies", dest="journal_bodies", action="store_false", help="do not store requests"
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    group = parser.add_argument_group("knobs")
    for name, field in Knobs.model_fields.items():
        default = environ.get(ENV_PREFIX + name.upper())
        switch: dict[str, Any] = {"nargs": "?", "const": "true"} if field.annotation is bool else {}
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, dest=f"knob_{name}", default=default, help=field.description, **switch)
    return parser


def _knob_options(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in Knobs.model_fields if (value := getattr(options, f"knob_{name}")) is not None}


def _listen(options: argparse.Namespace) -> socket.socket:
    if options.fd is not None:
        return socket.socket(fileno=options.fd)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    return socket.create_server((options.host, options.port), family=family, backlog=BACKLOG)


def _port(text: str) -> int:
    return _whole_number(text, 65_535)


def _size(text: str) -> int:
    return _whole_number(text, 1_000_000)


def _whole_number(text: str, highest: int) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number up to {highest}")
    return int(text)


if __name__ == "__main__":
    main()
