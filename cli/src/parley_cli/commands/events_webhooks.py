"""`parley events webhooks`: webhooks and their deliveries, over the API."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from parley_cli.commands.events_broker import point_in_time
from parley_cli.commands.shared import fail
from parley_cli.commands.webhooks_api import COMMAND, MISUSED, ServerOption, call, entries

HELP = """Webhooks of the caller, and their deliveries.

The variable PARLEY has the URL of the gateway, TOKEN an access token or an API key with the scope `webhooks`, or with
`admin` for the webhooks that get the events of all users.
"""
MAX_LINES = 10_000
TIMES = "30m, 2h, 7d, or a time."
commands = typer.Typer(no_args_is_help=True, help=HELP)

WebhookArgument = Annotated[str, typer.Argument(metavar="WEBHOOK", help="ID of a webhook.")]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="Address that receives the events.")]
EventOption = Annotated[
    list[str], typer.Option("--event", help="Event name, `*` is one word and `#` any number; repeatable.")
]
DescriptionOption = Annotated[str | None, typer.Option(help="Note for people.")]
OrderedOption = Annotated[bool, typer.Option("--ordered", help="Send the events of a conversation in order.")]
AllUsersOption = Annotated[bool, typer.Option("--all-users", help="Events of all users; needs the scope admin.")]
StatusOption = Annotated[
    Literal["pending", "delivered", "failed", "dead"] | None, typer.Option(help="Only deliveries with this status.")
]
EventIdOption = Annotated[str | None, typer.Option("--event-id", help="Only the delivery of this event.")]
LimitOption = Annotated[int, typer.Option(min=1, max=MAX_LINES, help="Maximum number of lines.")]
DeliveriesArgument = Annotated[list[str] | None, typer.Argument(metavar="[DELIVERY]...", help="IDs of deliveries.")]
SinceOption = Annotated[str, typer.Option(help="Instead of IDs: events received since 30m, 2h, 7d, or a time.")]
UntilOption = Annotated[str, typer.Option(help="With --since: now, 30m, or a time with a time zone.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@commands.command("list")
def list_webhooks(server: ServerOption, limit: LimitOption = 100) -> None:
    """List webhooks, newest first."""
    found = entries(server, "", limit, {})
    for each in found:
        last = each["last_delivery"] or {"status": "never", "at": ""}
        reason = f" ({each['disabled_reason']})" if each["disabled_reason"] else ""
        state = f"{each['status']}{reason}"
        typer.echo(f"{each['id']} {state:<18} {last['status']:<9} {each['url']} {','.join(each['events'])}")
    typer.echo(f"{len(found)} webhooks")


@commands.command()
def create(
    server: ServerOption,
    url: UrlArgument,
    event: EventOption,
    description: DescriptionOption = None,
    ordered: OrderedOption = False,
    all_users: AllUsersOption = False,
) -> None:
    """Create a webhook and print its secret, which is shown once."""
    body = {"url": url, "events": event, "ordered": ordered, "scope": "all" if all_users else "own"}
    found = call(server, "POST", json=body if description is None else body | {"description": description})
    typer.echo(f"webhook {found['id']}")
    typer.echo(f"secret  {found['secret']}")


@commands.command()
def pause(server: ServerOption, webhook: WebhookArgument) -> None:
    """Keep the events of a webhook until it is resumed."""
    _set_status(server, webhook, "paused")


@commands.command()
def resume(server: ServerOption, webhook: WebhookArgument) -> None:
    """Activate a paused or disabled webhook."""
    _set_status(server, webhook, "active")


@commands.command()
def delete(server: ServerOption, webhook: WebhookArgument, yes: YesOption = False) -> None:
    """Delete a webhook and its delivery log. This cannot be undone."""
    if not yes:
        typer.confirm(f"Delete the webhook {webhook}?", abort=True)
    call(server, "DELETE", _path(webhook))
    typer.echo(f"{webhook} is deleted.")


@commands.command()
def test(server: ServerOption, webhook: WebhookArgument) -> None:
    """Send an event `webhook.test`."""
    found = call(server, "POST", f"{_path(webhook)}/test")
    typer.echo(f"webhook.test {found['event_id']} is sent: parley events webhooks deliveries {webhook}")


@commands.command()
def deliveries(
    server: ServerOption,
    webhook: WebhookArgument,
    status: StatusOption = None,
    event_id: EventIdOption = None,
    limit: LimitOption = 100,
) -> None:
    """List deliveries, newest first, with the outcome of the last attempt."""
    chosen = {name: value for name, value in (("status", status), ("event_id", event_id)) if value}
    found = entries(server, f"{_path(webhook)}/deliveries", limit, chosen)
    for each in found:
        typer.echo(_delivery_line(each))
    typer.echo(f"{len(found)} deliveries")


@commands.command()
def redeliver(
    server: ServerOption,
    webhook: WebhookArgument,
    delivery: DeliveriesArgument = None,
    since: SinceOption = "",
    until: UntilOption = "now",
) -> None:
    """Send deliveries again, by their IDs or by a range of times. The receiver deduplicates by `webhook-id`."""
    if bool(delivery) == bool(since):
        fail(COMMAND, "Name the IDs of deliveries, or --since.", status=MISUSED)
    for each in delivery or ():
        call(server, "POST", f"{_path(webhook)}/deliveries/{_segment(each)}/redeliver")
    if delivery:
        typer.echo(f"{len(delivery)} deliveries are sent again.")
        return
    end = datetime.now(UTC) if until == "now" else point_in_time(until, "until", f"use now, {TIMES}")
    body = {"since": point_in_time(since, "since", f"use {TIMES}").isoformat(), "until": end.isoformat()}
    count, more = 0, True
    while more:
        found = call(server, "POST", f"{_path(webhook)}/redeliver", json=body)
        count, more = count + found["deliveries"], found["more"]
        body["attempted_before"] = found["attempted_before"]
    typer.echo(f"{count} deliveries are sent again.")


def _set_status(server: str, webhook: str, status: str) -> None:
    found = call(server, "PATCH", _path(webhook), json={"status": status})
    typer.echo(f"{found['id']} is {found['status']}.")


def _path(webhook: str) -> str:
    return f"/{_segment(webhook)}"


def _segment(text: str) -> str:
    """Return an ID as one segment of a path, so that no other route can be named."""
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        fail(COMMAND, f"{text} is not an ID.", status=MISUSED)


def _delivery_line(delivery: dict[str, Any]) -> str:
    outcome = delivery["error"] or delivery["response_status"] or ""
    latency = "" if delivery["latency_ms"] is None else f"{delivery['latency_ms']} ms"
    following = f"next {delivery['next_attempt_at']}" if delivery["status"] == "failed" else ""
    name = delivery["event_type"].removeprefix("io.parley.")
    words = f"attempt {delivery['attempt']} {outcome} {latency} {following}".split()
    return f"{delivery['id']} {delivery['created_at']} {delivery['status']:<9} {name} {' '.join(words)}"
