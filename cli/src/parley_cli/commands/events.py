"""`parley events`: look at events, deliver them again, and give a team access."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parley_cli.commands import events_access, events_dead, events_webhooks
from parley_cli.commands.events_broker import (
    UrlOption,
    check_reachable,
    connect_aloud,
    filter_of,
    moment,
    report_gap,
    run_on_broker,
)
from parley_cli.commands.events_output import echo_event, echo_findings
from parley_cli.commands.shared import fail

if TYPE_CHECKING:
    from parley_events import CloudEvent

HELP = """Look at events, deliver them again, and give a team access to the broker.

Needs RabbitMQ, which `make run` does without; `webhooks` needs the gateway instead.

Exit status: 0 done; 1 refused or findings; 2 wrong usage.
"""
COMMAND = "parley events"
commands = typer.Typer(no_args_is_help=True, help=HELP)
commands.add_typer(events_dead.commands, name="dead")
commands.add_typer(events_webhooks.commands, name="webhooks")
commands.command("access")(events_access.access)

TypeOption = Annotated[
    list[str] | None, typer.Option("--type", help="Event type, `*` is one word and `#` any number; repeatable.")
]
KeyOption = Annotated[str, typer.Option(help="Only events of this conversation or user (partition key).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print each event as one line of structured JSON.")]
SinceOption = Annotated[str, typer.Option(help="first, next, an offset, 30m, 2h, 7d, or a time with a time zone.")]
UntilOption = Annotated[str, typer.Option(help="now, never, an offset, 30m, or a time with a time zone.")]
CountOption = Annotated[int, typer.Option(min=0, help="End after this many events; 0: no limit.")]
FileArgument = Annotated[Path, typer.Argument(help="A JSON event, a JSON array of events, or one event a line.")]
QueueArgument = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of a subscriber's queue.")]
QueueOption = Annotated[str, typer.Option("--to", metavar="QUEUE", help="The queue that gets the events.")]


class _Enough(Exception):
    """The number of events that was asked for is reached, or the output is closed."""


@commands.command()
def tail(
    url: UrlOption,
    event_type: TypeOption = None,
    key: KeyOption = "",
    since: SinceOption = "next",
    until: UntilOption = "never",
    count: CountOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Print events of the log as they are published; with --since, earlier ones first."""
    from parley_events.replay import LogReplay

    chosen, seen = filter_of(event_type, key), 0
    closed: BrokenPipeError | None = None

    async def show(event: "CloudEvent") -> None:
        nonlocal seen, closed
        if chosen.accepts(event):
            try:
                echo_event(event, as_json=as_json)
            except BrokenPipeError as error:  # of `| head`; it is no outage of the broker
                closed = error
                raise _Enough from None
            seen += 1
            if count and seen >= count:
                raise _Enough

    start, end = moment(since, "since"), moment(until, "until")

    async def read() -> None:
        await check_reachable(url)
        try:
            await LogReplay(url, show, on_gap=report_gap, connect=connect_aloud).run(start, until=end)
        except _Enough:
            return

    run_on_broker(read, is_endless=True)
    if closed is not None:
        raise closed


@commands.command()
def replay(
    url: UrlOption,
    to: QueueOption,
    since: SinceOption,
    until: UntilOption = "now",
    event_type: TypeOption = None,
    key: KeyOption = "",
) -> None:
    """Put events of the log into one queue again. Their IDs are the same: the subscriber deduplicates."""
    from parley_events.queue_tools import open_put
    from parley_events.replay import LogReplay

    chosen, sent = filter_of(event_type, key), 0
    start, end = moment(since, "since"), moment(until, "until")

    async def send() -> int:
        nonlocal sent
        async with open_put(url, to) as put:

            async def forward(event: "CloudEvent") -> None:
                nonlocal sent
                if chosen.accepts(event):
                    await put(event)
                    sent += 1

            return await LogReplay(url, forward, on_gap=report_gap).run(start, until=end)

    try:
        offset = run_on_broker(send)
    except typer.Exit:
        typer.echo(f"{COMMAND}: {sent} events were put into {to} before the replay ended.", err=True)
        raise
    typer.echo(f"{sent} events were put into {to}. The log continues at offset {offset}.")


@commands.command()
def trigger(
    url: UrlOption,
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Such as conversation.turn.completed.")],
    to: QueueOption,
) -> None:
    """Put a sample event into one queue, never into the exchange."""
    from parley_events import model_of
    from parley_events.queue_tools import open_put
    from parley_events.testing.samples import sample

    model = model_of(event_type)
    if model is None:
        fail(COMMAND, f"There is no event type {event_type}. `docs/events.md` lists them.", status=2)
    event = sample(model, event_type)

    async def send() -> None:
        async with open_put(url, to) as put:
            await put(event)

    run_on_broker(send)
    typer.echo(f"{event.type} {event.id} was put into {to}.")


@commands.command()
def lag(url: UrlOption, queue: QueueArgument) -> None:
    """Print how many events of a subscriber wait, are parked, or are dead letters.

    A running subscriber holds its parked events itself: they count only while no subscriber runs.
    """
    from parley_events.queue_tools import depths

    for found in run_on_broker(lambda: depths(url, queue)):
        typer.echo(f"{found.queue:<50} {found.waiting:>9} waiting {found.consumers:>3} consumers")


@commands.command()
def lint(file: FileArgument) -> None:
    """Check events in structured JSON against Parley's models."""
    from parley_cli.commands.events_lint import findings

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        fail(COMMAND, f"Cannot read {file}: {reason}.", status=2)
    echo_findings(findings(text))
