"""The operations of the OpenAPI document with the scopes of their routes, and requests for each of them."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateway.routes import all_routes

DOCUMENT = Path(__file__).resolve().parents[3] / "src/gateway/local/openapi.json"
MESSAGE = {"message": "hi [[fake tokens=1]]"}
COMPLETION = {"model": "default", "messages": [{"role": "user", "content": "hi [[fake tokens=1]]"}]}
UI_MESSAGE = {"role": "user", "parts": [{"type": "text", "text": MESSAGE["message"]}]}
PASSWORDS = {"current_password": "wrong-password-of-mine", "new_password": "another-password-of-mine"}
BODIES: dict[str, Any] = {
    "POST /api/v1/auth/api-keys": {"name": "made by the test"},
    "PATCH /api/v1/auth/me": {"display_name": "Changed"},
    "POST /api/v1/auth/me/password": PASSWORDS,
    "POST /api/v1/admin/users": {"username": "made-by-the-test", "email": "made-by-the-test@example.org"},
    "PATCH /api/v1/admin/users/{}": {"plan": "default"},
    "PATCH /api/v1/conversations/{}": {"title": "Changed"},
    "POST /api/v1/chat": MESSAGE,
    "POST /api/v1/chat/stream": MESSAGE,
    "POST /api/v1/chat/ui": {"id": "01a200aa-0000-7000-8000-000000000000", "message": UI_MESSAGE},
    "POST /v1/chat/completions": COMPLETION,
    "POST /v1/messages": {**COMPLETION, "max_tokens": 10},
    "POST /v1/messages/count_tokens": COMPLETION,
    "POST /v1/responses": {"model": "default", "input": "hi [[fake tokens=1]]"},
    "POST /v1/responses/compact": {"model": "default", "input": "hi [[fake tokens=1]]"},
    "POST /v1/conversations": {},
    "POST /v1/conversations/{}/items": {"items": [{"role": "user", "content": "Hi"}]},
    "POST /v1/conversations/{}": {"metadata": {"topic": "changed"}},
    "POST /api/v1/conversations/import": [],
    "POST /api/v1/auth/register": {},
    "POST /api/v1/webhooks": {"url": "https://example.org/hooks", "events": ["#"]},
    "PATCH /api/v1/webhooks/{}": {"status": "paused"},
    "POST /api/v1/webhooks/{}/redeliver": {"since": "2026-11-28T10:00:00Z", "until": "2026-11-28T11:00:00Z"},
    "POST /api/v1/auth/password-reset": {},
    "POST /api/v1/auth/password-reset/request": {},
}
FORMS = {"POST /api/v1/auth/introspect", "POST /api/v1/auth/revoke", "POST /api/v1/auth/token"}
QUERIES = {"GET /api/v1/search": {"q": "canary"}}


@dataclass(frozen=True)
class Operation:
    """One operation of the document. ``scope`` is that of the route table; ``object_of`` names the id in its path."""

    method: str
    path: str
    public: bool
    scope: str | None = ""
    codes: dict[str, set[str]] = field(default_factory=dict, compare=False)
    """The documented codes of errors, by status; empty for a success."""

    @property
    def name(self) -> str:
        return f"{self.method} {re.sub(r'{[^}]*}', '{}', self.path)}"

    @property
    def ids(self) -> list[str]:
        """The names of the ids in the path. The last one names what a deletion removes."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def object_of(self) -> str | None:
        return self.ids[0] if self.ids else None

    @property
    def for_administrators(self) -> bool:
        return self.scope == "admin"


def operations() -> list[Operation]:
    """Return the operations with the scope of their route; those that delete come last, the account at the end."""
    scopes = {
        f"{method} {re.sub(r'{[^}]*}', '{}', each.template)}": each.scope
        for each in all_routes()
        for method in each.methods
    }
    found = []
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            if "101" in described["responses"]:  # a WebSocket
                continue
            operation = Operation(method.upper(), path, described.get("security") == [])
            codes = _documented_codes(described, document["components"]["responses"])
            found.append(Operation(operation.method, path, operation.public, scopes[operation.name], codes))
    return sorted(found, key=lambda each: (each.method == "DELETE", each.for_administrators, -len(each.path)))


def keyed_operations() -> set[str]:
    """Return the names of the operations whose document has ``Idempotency-Key``."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    shared = {f"#/components/parameters/{name}": one for name, one in document["components"]["parameters"].items()}
    return {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        for given in described.get("parameters", ())
        if shared.get(given.get("$ref"), given)["name"] == "Idempotency-Key"
    }


def _documented_codes(described: dict[str, Any], shared: dict[str, Any]) -> dict[str, set[str]]:
    found = {}
    for status, response in described["responses"].items():
        whole = shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
        found[status] = {code for content in whole.get("content", {}).values() for code in content.get("examples", ())}
    return found


OPERATIONS = operations()


async def call(
    http: httpx2.AsyncClient, operation: Operation, ids: dict[str, str], headers: dict[str, str]
) -> tuple[int, str]:
    """Send the operation with these ids in its path. The body of an endless stream is not read.

    Raise AssertionError for a status or an error code that the document does not list for the operation.
    """
    path = operation.path.format_map(ids)
    options: dict[str, Any] = {"headers": headers, "params": QUERIES.get(operation.name)}
    if operation.name in FORMS:
        options["data"] = {"token": "nothing"}
    elif operation.name in BODIES:
        options["json"] = BODIES[operation.name]
    async with http.stream(operation.method, path, **options) as response:
        if operation.path == "/api/v1/events" and response.status_code == httpx2.codes.OK:
            return response.status_code, ""
        text = (await response.aread()).decode()
        assert str(response.status_code) in operation.codes, (operation.name, response.status_code, text)
        if "problem+json" in response.headers.get("content-type", ""):
            listed = operation.codes[str(response.status_code)]
            assert response.json()["code"] in listed, (operation.name, response.status_code, text)
        return response.status_code, text
