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
from gateway.routes import ANY, PUBLIC, Route, all_routes
from parley import __version__
from parley.web.problems import speaks_openai

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
    schemas: dict[str, Any] = {"Problem": problem_schema(), "OpenAiError": openai_error_schema()}
    for service, document in _documents():
        renamed = _with_unique_names(document, service, schemas)
        schemas.update(renamed.get("components", {}).get("schemas", {}))
        for path, item in renamed["paths"].items():
            public = {m: _public_operation(o, path, m) for m, o in item.items() if m in METHODS and _is_public(path, m)}
            if public:
                paths.setdefault(path, {}).update(public)
    document = {
        **HEAD,
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": SECURITY_SCHEMES},
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def problem_schema() -> dict[str, Any]:
    """Return the schema of an error body."""
    text = {"type": "string"}
    entry = {"type": "object", "properties": {"pointer": text, "code": text, "detail": text}}
    properties = {
        **dict.fromkeys(("type", "title", "detail", "instance", "code", "request_id"), text),
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": entry},
        **openai_error_schema()["properties"],
    }
    return {"type": "object", "required": sorted(properties), "properties": properties}


def openai_error_schema() -> dict[str, Any]:
    """Return the schema of an error body below ``/v1``."""
    text = {"type": "string"}
    members = {"message": text, "type": text, "param": {"type": ["string", "null"]}, "code": text}
    return {"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "properties": members}}}


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


def _is_public(path: str, method: str) -> bool:
    return _find_route(path, method) is not None


def _find_route(path: str, method: str) -> Route | None:
    """Return the gateway's route for an operation. The names of path parameters may differ."""
    wanted = (method.upper(), PARAMETER.sub("{}", path))
    for route in all_routes():
        if wanted in {(m, PARAMETER.sub("{}", route.template)) for m in route.methods}:
            return route
    return None


def _public_operation(operation: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if speaks_openai(path):
        problem = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAiError"}}}
    responses = {s: r for s, r in operation.get("responses", {}).items() if s != "422"}
    responses["default"] = {"description": "An error; see /docs/errors.", "content": problem}
    found = {**operation, "responses": responses}
    route = _find_route(path, method)
    if route is not None:
        found["security"] = _security(route)
    return found


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
