"""Client of the webhook routes for `parley events webhooks`."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parley_cli.commands.shared import fail

if TYPE_CHECKING:
    import httpx2

COMMAND = "parley events webhooks"
TOKEN = "TOKEN"  # noqa: S105 - the name of a variable
PAGE = 100
REQUEST_TIMEOUT = 60.0
REFUSED, MISUSED = 1, 2

ServerOption = Annotated[
    str,
    typer.Option("--server", envvar="PARLEY", help="URL of the gateway. The variable TOKEN has the access token."),
]


def call(server: str, method: str, path: str = "", **options: Any) -> Any:
    """Return the JSON body of a response, or None if it has none; on an error print one line and exit."""
    import httpx2

    token = os.environ.get(TOKEN, "")
    if not token:
        fail(
            COMMAND, "Set the variable TOKEN to an access token or an API key with the scope webhooks.", status=MISUSED
        )
    url = f"{server.rstrip('/')}/api/v1/webhooks{path}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx2.Client(headers=headers, timeout=REQUEST_TIMEOUT, trust_env=False) as client:
            response = client.request(method, url, **options)
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        fail(COMMAND, f"Cannot reach Parley at {server}: {type(error).__name__}", status=REFUSED)
    if not response.is_success:
        fail(COMMAND, _problem(response), status=REFUSED)
    return _json(response)


def entries(server: str, path: str, limit: int, params: dict[str, str]) -> list[dict[str, Any]]:
    """Return the first entries of a list, from as many pages as they need."""
    found: list[dict[str, Any]] = []
    cursor = None
    while len(found) < limit:
        size = {"limit": str(min(PAGE, limit - len(found)))}
        page = call(server, "GET", path, params={**params, **size, **({"cursor": cursor} if cursor else {})})
        found += page["data"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    return found


def _json(response: "httpx2.Response") -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        fail(COMMAND, f"The response of {response.url.host} is not from Parley.", status=REFUSED)


def _problem(response: "httpx2.Response") -> str:
    """Return what a problem body says, one line for each wrong field."""
    try:
        problem = response.json()
        lines = [f"{problem['detail']} ({response.status_code} {problem['code']})"]
        return "\n".join(lines + [f"{each['pointer'].lstrip('/')}: {each['detail']}" for each in problem["errors"]])
    except (ValueError, KeyError, TypeError):
        return f"The server responded {response.status_code}."
