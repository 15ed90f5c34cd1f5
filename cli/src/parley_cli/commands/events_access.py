"""`parley events access`: the least-privilege broker user of a team."""

import json
import re
import shlex
from typing import Annotated
from urllib.parse import quote

import typer

from parley_cli.commands.shared import fail

COMMAND = "parley events access"
TEAM = re.compile(r"[a-z][a-z0-9-]{0,39}")
MAX_CONNECTIONS, MAX_CHANNELS = 20, 200
DEFAULT_QUEUE_BYTES = 500_000_000
NOTHING = "^$"
EVERYTHING = ".*"

TeamArgument = Annotated[str, typer.Argument(metavar="TEAM", help="Lower-case letters, digits and hyphens.")]
TypeOption = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only these event types, `*` is one word and `#` any number; repeatable."),
]
ReplayOption = Annotated[
    bool | None,
    typer.Option(help="Whether the team may read the log of all events. Default: yes, unless --type limits the types."),
]
QueueBytesOption = Annotated[int, typer.Option(min=1_000_000, help="Most bytes of each queue of the team.")]
VhostOption = Annotated[str, typer.Option(help="Virtual host.")]


def access(
    team: TeamArgument,
    event_type: TypeOption = None,
    replay: ReplayOption = None,
    vhost: VhostOption = "/",
    queue_bytes: QueueBytesOption = DEFAULT_QUEUE_BYTES,
) -> None:
    """Print the commands that create the broker user of a team, for RabbitMQ 3.10 and newer.

    The user reads events into queues named `sub.TEAM.…` and nothing else: he publishes to no other exchange, and reads,
    purges, deletes and declares no other queue.
    """
    if not TEAM.fullmatch(team):
        fail(COMMAND, f"{team}: use lower-case letters, digits and hyphens, at most 40, a letter first.", status=2)
    may_replay = not event_type if replay is None else replay
    typer.echo("# Run these where rabbitmqctl is. The first one asks for the new password.")
    for command in broker_commands(
        team, tuple(event_type or ()), may_replay=may_replay, vhost=vhost, queue_bytes=queue_bytes
    ):
        typer.echo(shlex.join(["rabbitmqctl", *command]))
    path = "" if vhost == "/" else quote(vhost, safe="")
    typer.echo(f"# Address for the team: amqp://{team}:<password>@<broker>/{path}   Queues: sub.{team}.<name>")


def broker_commands(
    team: str,
    types: tuple[str, ...] = (),
    *,
    may_replay: bool = True,
    vhost: str = "/",
    queue_bytes: int = DEFAULT_QUEUE_BYTES,
) -> list[list[str]]:
    """Return the arguments of the rabbitmqctl commands that create a team's user."""
    own = rf"^sub\.{re.escape(team)}\."
    sources = "events|log" if may_replay else "events"
    readable = rf"^(sub\.{re.escape(team)}\..*|parley\.({sources}))$"
    limits = json.dumps({"max-connections": MAX_CONNECTIONS, "max-channels": MAX_CHANNELS})
    policy = json.dumps({"max-length-bytes": queue_bytes})
    return [
        ["add_user", team],
        ["set_permissions", "-p", vhost, team, own, own, readable],
        ["set_topic_permissions", "-p", vhost, team, "parley.events", NOTHING, binding_pattern(types)],
        ["set_user_limits", team, limits],
        ["set_operator_policy", "-p", vhost, "--apply-to", "queues", f"sub-{team}", own, policy],
    ]


def binding_pattern(types: tuple[str, ...]) -> str:
    """Return the regular expression of the routing keys that the team may bind."""
    if not types:
        return EVERYTHING
    return f"^({'|'.join(_type_pattern(each) for each in types)})$"


def _type_pattern(event_type: str) -> str:
    """Return the pattern of the bindings that select no more than the type does."""
    words = {"*": r"[^.#]+", "#": ".*"}
    return r"\.".join(words.get(word, re.escape(word)) for word in event_type.split("."))
