"""Output of the subcommands of `parley events`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from parley_events import CloudEvent
    from parley_events.dead_letters import DeadLetter


def printable(text: str) -> str:
    """Return a text with escapes in place of control characters, which could change what a terminal shows."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def echo_event(event: "CloudEvent", *, as_json: bool) -> None:
    """Print one event on one line."""
    from parley_events.cloudevents import to_structured
    from parley_events.fields import format_timestamp

    if as_json:
        typer.echo(to_structured(event))
        return
    offset = "" if event.offset is None else f"{event.offset:>9} "
    line = f"{offset}{format_timestamp(event.time)} {event.name:<32} {event.partition_key} #{event.sequence} {event.id}"
    typer.echo(printable(line))


def echo_letters(letters: "Sequence[DeadLetter]") -> None:
    """Print one line for each dead letter."""
    for letter in letters:
        sequence = f"#{letter.sequence}" if letter.sequence else ""
        line = f"{letter.id} {letter.died_at} {letter.reason:<9} {letter.key} {sequence} {letter.error}"
        typer.echo(printable(line.rstrip()))
    typer.echo(f"{len(letters)} dead letters")


def echo_letter(letter: "DeadLetter") -> None:
    """Print everything about a dead letter."""
    for name in ("id", "type", "key", "sequence", "time", "reason", "error", "attempts", "died_at"):
        typer.echo(printable(f"{name:<9} {getattr(letter, name)}"))
    typer.echo(printable(letter.data.decode("utf-8", "replace")))


def echo_findings(found: Sequence[str]) -> None:
    """Print the findings of a check and exit with status 1 if there are any."""
    for line in found:
        typer.echo(line)
    typer.echo(f"{len(found)} findings" if found else "No findings.")
    raise typer.Exit(1 if found else 0)
