"""OpenAPI document of the gateway: the public operations of all services."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

import auth.main
import auth.settings
import chat.main
import chat.settings
import history.main
import history.settings
import webhooks.main
import webhooks.settings
from chat.api.documentation import SOCKET
from chat.api.openai_responses.documentation import RESPONSES_SOCKET
from chat.api.openai_responses.websocket import PATH as RESPONSES_PATH
from chat.api.websocket import PATH as SOCKET_PATH
from gateway.routes import ANY, PUBLIC, Route, all_routes
from parley import __version__
from parley.web.problems import error_format
from parley_cli.documents.openapi import errors, streams
from parley_cli.documents.openapi.components import PREFIXES, Components, references, response_names

PARAMETER = re.compile(r"\{\w+\}")
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
PLACEHOLDER_URL = SecretStr("postgresql://user@localhost/database")
HEAD: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Parley",
        "version": __version__,
        "description": "A self-hosted chat backend: durable turns, resumable streams, replayable events. "
        "Errors are described in /docs/errors.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "servers": [{"url": "/"}],
}
SCOPES = {
    "account": "Read and change one's own account, sessions and API keys.",
    "admin": "Manage users and read the audit log.",
    "chat:write": "Take turns.",
    "events:read": "Read the event feed.",
    "history:read": "Read conversations, search, usage and exports.",
    "history:write": "Change, delete and import conversations.",
    "webhooks": "Send one's own events to URLs of one's choice.",
}
LOGIN_URL = "/api/v1/auth/token"
SECURITY_SCHEMES = {
    "login": {
        "type": "oauth2",
        "description": "Log in with a user name and a password.",
        "flows": {"password": {"tokenUrl": LOGIN_URL, "refreshUrl": LOGIN_URL, "scopes": SCOPES}},
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token or an API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def merged() -> str:
    """Render the document as JSON."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {
        "Problem": errors.problem_schema(),
        "OpenAiError": errors.openai_error_schema(),
        "AnthropicError": errors.anthropic_error_schema(),
    }
    for service, document in _documents():
        renamed = _with_unique_names(document, service, schemas)
        schemas.update(renamed.get("components", {}).get("schemas", {}))
        for path, item in renamed["paths"].items():
            paths.setdefault(path, {}).update({each: item[each] for each in item if each in METHODS})
    paths[SOCKET_PATH] = {"get": {**SOCKET, **streams.socket_frames()}}
    paths[RESPONSES_PATH]["get"] = {**RESPONSES_SOCKET, **streams.responses_socket_frames()}
    schemas = {**streams.schemas(), **schemas}
    components = Components()
    components.add_examples(schemas)
    public = _public_paths(paths, components)
    used = set(references([public, components.document(), list(schemas.values())]))
    document = {
        **HEAD,
        "paths": public,
        "components": {
            **components.document(),
            "examples": _used("examples", errors.examples(), used),
            "schemas": _used("schemas", schemas, used),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _used(kind: str, components: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
    return {name: each for name, each in sorted(components.items()) if f"#/components/{kind}/{name}" in used}


def _public_paths(paths: Mapping[str, Any], components: Components) -> dict[str, Any]:
    """Return the operations that the gateway forwards, as it answers them."""
    routed = [
        (path, method, operation, route)
        for path, item in sorted(paths.items())
        for method, operation in item.items()
        if (route := _find_route(path, method)) is not None
    ]
    codes = {(path, method): errors.codes_by_status(route, path, each) for path, method, each, route in routed}
    names = response_names({(s, c, error_format(key[0])) for key, found in codes.items() for s, c in found.items()})
    public: dict[str, Any] = {}
    for path, method, operation, route in routed:
        shape = error_format(path)
        responses = _own_responses(operation, components)
        for status, listed in codes[path, method].items():
            shown = errors.response(status, listed, shape)
            name = names[status, listed, shape]
            if status in responses:  # the route has a format of its own besides, as OAuth's
                responses[status]["content"].update(shown["content"])
            else:
                responses[status] = components.error_response(name, status, shown)
        fallback = errors.default_response(shape)
        responses["default"] = components.error_response(f"{PREFIXES[shape]}Error", "", fallback)
        public.setdefault(path, {})[method] = _public_operation(operation, route, responses, components)
    return public


def _own_responses(operation: Mapping[str, Any], components: Components) -> dict[str, Any]:
    """Return the responses that the route describes itself, without the errors of which it has only the codes."""
    return {
        status: {**streams.with_references(response), "headers": components.headers_of(response)}
        for status, response in operation["responses"].items()
        if "x-codes" not in response and status != "422"
    }


def _public_operation(
    operation: dict[str, Any], route: Route, responses: dict[str, Any], components: Components
) -> dict[str, Any]:
    text = operation.get("description", "").replace("``", "`")
    summary = " ".join(re.split(r"(?<=[.:;])\s", text)[0].split()).rstrip(".:;")
    found = {**operation, "summary": summary, "description": text, "responses": responses}
    if "parameters" in operation:
        found["parameters"] = [components.parameter(each) for each in operation["parameters"]]
    found["security"] = _security(route)
    return found


def _documents() -> Iterator[tuple[str, dict[str, Any]]]:
    common: dict[str, Any] = {
        "database_url": PLACEHOLDER_URL,
        "redis_url": PLACEHOLDER_URL,
        "environment": "development",
    }
    own: dict[str, Any] = {"auth_secret_key": SecretStr("00" * 32), "smtp_url": SecretStr("smtp://localhost")}
    yield "auth", auth.main.create_app(auth.settings.AuthSettings.model_construct(**common, **own)).openapi()
    yield "chat", chat.main.create_app(chat.settings.ChatSettings.model_construct(**common)).openapi()
    yield "history", history.main.create_app(history.settings.HistorySettings.model_construct(**common)).openapi()
    key: dict[str, Any] = {"webhooks_secret_key": SecretStr("00" * 32)}
    settings = webhooks.settings.WebhooksSettings.model_construct(**common, **key)
    yield "webhooks", webhooks.main.create_app(settings).openapi()


def _find_route(path: str, method: str) -> Route | None:
    """Return the gateway's route for an operation. The names of path parameters may differ."""
    wanted = (method.upper(), PARAMETER.sub("{}", path))
    for route in all_routes():
        if wanted in {(m, PARAMETER.sub("{}", route.template)) for m in route.methods}:
            return route
    return None


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.scope is PUBLIC:
        return []
    scopes = [] if route.scope == ANY else [route.scope]
    return [{scheme: scopes} for scheme in SECURITY_SCHEMES]


def _with_unique_names(document: dict[str, Any], service: str, taken: Mapping[str, Any]) -> dict[str, Any]:
    """Add the service's name to schemas that another service defines differently under the same name."""
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    text = json.dumps(document)
    for name, schema in schemas.items():
        if name in taken and taken[name] != schema:
            unique_name = f"{service.capitalize()}{name}"
            text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{unique_name}"')
            text = text.replace(f'"{name}": {json.dumps(schema)}', f'"{unique_name}": {json.dumps(schema)}')
    found: dict[str, Any] = json.loads(text)
    return found
