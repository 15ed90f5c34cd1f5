"""`parley events dead`: dead letters of a subscriber."""

from typing import TYPE_CHECKING, Annotated

import typer

from parley_cli.commands.events_broker import COMMAND, MISUSED, REFUSED, UrlOption, run_on_broker
from parley_cli.commands.events_output import echo_letter, echo_letters
from parley_cli.commands.shared import fail

if TYPE_CHECKING:
    from parley_events.dead_letters import DeadLetters, Select

commands = typer.Typer(no_args_is_help=True, help="Dead letters of a subscriber: list, show, redrive, drop.")

QueueArgument = Annotated[str, typer.Argument(metavar="QUEUE", help="The subscriber's queue, without `.dead`.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="ID of an event.")]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="IDs of events.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every dead letter of the queue.")]
KeyOption = Annotated[str, typer.Option(help="Every dead letter of this partition key.")]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of lines.")]


@commands.command("list")
def list_letters(url: UrlOption, queue: QueueArgument, limit: LimitOption = 100) -> None:
    """List dead letters, oldest first, with their reasons."""
    echo_letters(run_on_broker(lambda: _letters(url, queue).list(limit)))


@commands.command()
def show(url: UrlOption, queue: QueueArgument, event_id: IdArgument) -> None:
    """Show one dead letter with its data."""
    found = [each for each in run_on_broker(lambda: _letters(url, queue).list()) if each.id == event_id]
    if not found:
        fail(COMMAND, f"{queue} has no dead letter {event_id}.", status=REFUSED)
    echo_letter(found[0])


@commands.command()
def redrive(
    url: UrlOption, queue: QueueArgument, ids: IdsArgument = None, key: KeyOption = "", every: AllOption = False
) -> None:
    """Deliver dead letters again; a key that waits for one goes on after it."""
    chosen = _select(ids, key, every=every)
    moved = run_on_broker(lambda: _letters(url, queue).redrive(chosen))
    typer.echo(f"{moved} events are delivered again.")


@commands.command()
def drop(
    url: UrlOption, queue: QueueArgument, ids: IdsArgument = None, key: KeyOption = "", every: AllOption = False
) -> None:
    """Delete dead letters; a key that waits for one goes on without it."""
    chosen = _select(ids, key, every=every)
    moved = run_on_broker(lambda: _letters(url, queue).drop(chosen))
    typer.echo(f"{moved} dead letters are deleted.")


def _letters(url: str, queue: str) -> "DeadLetters":
    from parley_events.dead_letters import DeadLetters

    return DeadLetters(url, queue)


def _select(ids: list[str] | None, key: str, *, every: bool) -> "Select":
    if not (ids or key or every):
        fail(COMMAND, "Name the IDs of events, a --key, or --all.", status=MISUSED)
    return lambda letter: every or letter.id in (ids or ()) or (bool(key) and letter.key == key)
