"""What the subcommands of `parley events` share: the broker, and options that name moments and events."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from parley_cli.commands.shared import fail

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

    from parley_events import Gap
    from parley_events.queue_tools import EventFilter

T = TypeVar("T")
COMMAND = "parley events"
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
NAMED = {"since": ("first", "next"), "until": ("now", "never")}
"""The words that each option takes."""
REFUSED, MISUSED, INTERRUPTED = 1, 2, 130
MAX_OFFSET = 2**63 - 1


def _check_url(urls: str) -> str:
    """Refuse what is no address of RabbitMQ, before it is used."""
    from parley_events.connection import split_urls

    try:
        split_urls(urls)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return urls


UrlOption = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="AMQP_URL",
        help="Address of RabbitMQ, with user and password.",
        show_envvar=True,
        callback=_check_url,
    ),
]


def run_on_broker(operation: Callable[[], Awaitable[T]], *, is_endless: bool = False) -> T:
    """Return the result of an operation; on an error of the broker print one line and exit.

    Ctrl-C is the way to end an operation that is endless, and interrupts every other one.
    """
    from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError

    from parley.observability import logs
    from parley_events import TopologyError
    from parley_events.connection import OUTAGES, refusal

    logs.configure("critical")

    async def run() -> T:
        return await operation()

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(0 if is_endless else INTERRUPTED) from None
    except ChannelNotFoundEntity as error:
        fail(COMMAND, f"RabbitMQ has no such queue: {error}", status=REFUSED)
    except (TopologyError, ValueError) as error:
        fail(COMMAND, str(error), status=REFUSED)
    except DeliveryError as error:
        fail(COMMAND, f"RabbitMQ did not take the event: {error}", status=REFUSED)
    except OUTAGES as error:
        fail(COMMAND, refusal(error) or unreachable(error), status=REFUSED)


def unreachable(error: Exception) -> str:
    """Return the sentence for a broker that does not answer."""
    return f"Cannot reach RabbitMQ: {type(error).__name__} {error}".rstrip(" .") + "."


async def report_gap(gap: "Gap") -> None:
    """Print which offsets the log no longer has."""
    gone = f"from offset {gap.first} to {gap.last}" if gap.size > 1 else f"at offset {gap.first}"
    typer.echo(f"{COMMAND}: The log no longer has the events {gone}.", err=True)


def moment(text: str, option: str) -> Any:
    """Return the place in the log that an option names: a word, an offset, or a time."""
    words = NAMED[option]
    if text in words:
        return text
    if text.isdecimal() and len(text) < len(str(MAX_OFFSET)):
        return int(text)
    return point_in_time(text, option, f"use {', '.join(words)}, an offset, 30m, 2h, 7d, or a time.")


def point_in_time(text: str, option: str, allowed: str) -> datetime:
    """Return the time that an option names: an age or a time with a time zone."""
    try:
        if found := re.fullmatch(r"(\d{1,6})([smhd])", text):
            return datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        fail(COMMAND, f"--{option} {text}: {allowed}", status=MISUSED)
    if time.tzinfo is None:
        fail(COMMAND, f"--{option} {text}: add a time zone, such as {text}Z.", status=MISUSED)
    return time


def filter_of(types: list[str] | None, key: str) -> "EventFilter":
    """Return the filter that options describe."""
    from parley_events.queue_tools import EventFilter

    return EventFilter(tuple(types or ()), key)


async def check_reachable(url: str) -> None:
    """Raise one of OUTAGES when no node answers. What reads the log waits for the broker instead."""
    from parley_events.connection import close, connect_for_command

    await close(await connect_for_command(url, COMMAND))


async def connect_aloud(url: str, name: str) -> "AbstractConnection":
    """Connect, and print why that failed: the caller tries again."""
    from parley_events.connection import OUTAGES, connect

    try:
        return await connect(url, name)
    except OUTAGES as error:
        typer.echo(f"{COMMAND}: {unreachable(error)} It is tried again.", err=True)
        raise
