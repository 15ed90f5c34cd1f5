"""The largest inputs that the product accepts, and larger ones."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import uuid4

import httpx2

from parley_testing.http.client import UserClient

Attack: TypeAlias = Callable[[UserClient], Awaitable[list[int]]]
MIB = 1_048_576
MARKS = "a" + "\u0301\u0323" * 75_000
"""150,000 combining marks that normalisation has to sort: 64 times more than auth reads."""
FEWER_MARKS, LONG = "a" + "\u0301\u0323" * 5_000, "x" * 60_000
"""What fits into a body that auth reads, of 64 KiB."""
JSON, NDJSON = {"Content-Type": "application/json"}, {"Content-Type": "application/x-ndjson"}
BASE = "/api/v1/auth"
ANY = "x"


async def form(user: UserClient, **fields: str) -> int:
    return (await user.http.post(f"{BASE}/token", data={"grant_type": "password", **fields})).status_code


async def log_ins(user: UserClient) -> list[int]:
    found = [
        await form(user, username=MARKS, password=ANY),
        await form(user, username=user.username, password=MARKS),
    ]
    for value in (FEWER_MARKS, LONG):
        found += [
            await form(user, username=value, password=ANY),
            await form(user, username=user.username, password=value[:1000]),
            await form(user, username="x", password=ANY, client_id=value),
            await form(user, username="x", password=ANY, scope=value),
            await form(user, grant_type="refresh_token", refresh_token=value),
        ]
    return [*found, await form(user, **{f"field{n}": "x" for n in range(5_000)})]


async def accounts(user: UserClient) -> list[int]:
    good = {"username": "x", "email": "x@example.org", "password": ANY * 12, "display_name": "x"}
    values = (MARKS, FEWER_MARKS, LONG, "\u0130" * 10_000, "a." * 30_000 + "@example.org", "a@" + "b." * 30_000 + "org")
    bodies = [{**good, name: value} for name in good for value in values]
    return [(await user.http.post(f"{BASE}/register", json=body)).status_code for body in bodies] + [
        (await user.request("PATCH", f"{BASE}/me", json={"display_name": FEWER_MARKS})).status_code,
        (await user.http.post(f"{BASE}/password-reset/request", json={"email": FEWER_MARKS})).status_code,
    ]


async def turns(user: UserClient) -> list[int]:
    """Take turns with the longest messages, and wait until history has indexed them."""
    statuses = []
    for text in ("a" + "\u0301\u0323" * 15_990, "\u6f22\u5b57" * 15_990, "ab " * 10_600, "\ufdfa" * 31_990):
        response = await user.request("POST", "/api/v1/chat", json={"message": text[:31_980] + " [[fake tokens=1]]"})
        statuses.append(response.status_code)
        if response.status_code == httpx2.codes.OK:
            turn = response.json()
            path = f"/api/v1/conversations/{turn['conversation_id']}/messages"
            await user.request("GET", path, params={"wait_for": turn["turn_id"]})
    return statuses


async def completions(user: UserClient) -> list[int]:
    said = {"role": "user", "content": "x" * 480}
    deep: Any = {}
    while len(str(deep)) < 900:
        deep = {"a": deep}
    bodies = [
        {"model": "default", "messages": [said] * 2000},
        {"model": "default", "messages": [{"role": "user", "content": "\u6f22" * 340_000}]},
        {"model": "default", "messages": [said], "tools": [{"type": "function", "x": [1] * 400_000}]},
        {"model": "default", "messages": [said], "stop": deep},
        {"model": "default", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 25_000}]},
    ]
    return [(await user.request("POST", "/v1/chat/completions", json=body)).status_code for body in bodies]


async def broken_json(user: UserClient) -> list[int]:
    bodies = [b"[" * 1_000_000, b'{"a":' * 200_000, b'{"message":"' + b"\\u0301" * 160_000 + b'"}', b"9" * 1_000_000]
    return [
        (await user.request("POST", path, content=body, headers=JSON)).status_code
        for body in bodies
        for path in ("/api/v1/chat", "/v1/chat/completions")
    ]


def conversation(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {"format": "parley.conversation/1", "conversation": {"title": "imported"}, "messages": messages}


def message(content: str, parent: str | None = None) -> dict[str, Any]:
    return {"id": str(uuid4()), "parent_id": parent, "role": "user", "content": content}


async def searches(user: UserClient) -> list[int]:
    """Search for as many words as fit, in messages that contain them all many times."""
    words = [f"{a}{b}" for a in "abcdefgh" for b in "ijklmnop"][:66]
    file = conversation([message((" ".join(words) + " ") * 250) for _ in range(8)])
    imported = await user.request("POST", "/api/v1/conversations/import", json=[file])
    queries = [" ".join(words), "a" * 200, "\u0301" * 200, "\u6f22" * 200, " ".join("abcdefghij" * 10)]
    return [imported.status_code] + [
        (await user.request("GET", "/api/v1/search", params={"q": query, "limit": 100})).status_code
        for query in queries
    ]


async def marks_to_import(user: UserClient) -> list[int]:
    file = conversation([message("a" + "\u0301\u0323" * 24_900) for _ in range(8)])
    return [(await user.request("POST", "/api/v1/conversations/import", json=[file])).status_code]


async def branches(user: UserClient) -> list[int]:
    """Import a conversation of 1,000 first messages, and list it: each message names its siblings."""
    file = conversation([message("x") for _ in range(1000)])
    response = await user.request("POST", "/api/v1/conversations/import", json=[file])
    found = response.json()["imported"]
    path = f"/api/v1/conversations/{found[0]['conversation_id']}/messages?tree=true&limit=100"
    return [response.status_code, *[(await user.request("GET", path)).status_code for _ in range(5)]]


async def a_turn_after_a_long_import(user: UserClient) -> list[int]:
    """Import the longest conversation, and continue it: only its end fits into the model's window."""
    messages: list[dict[str, Any]] = []
    for number in range(110):
        parent = messages[-1]["id"] if messages else None
        messages.append({**message("x" * 70_000, parent), "role": "assistant" if number % 2 else "user"})
    response = await user.request("POST", "/api/v1/conversations/import", json=[conversation(messages)])
    body = {"message": "Why? [[fake tokens=1]]", "conversation_id": response.json()["imported"][0]["conversation_id"]}
    return [
        response.status_code,
        (await user.request("POST", "/api/v1/chat", json=body)).status_code,
    ]


def chain_of_nodes() -> bytes:
    nodes = {str(n): {"parent": str(n - 1), "message": None} for n in range(300_000)}
    return json.dumps([{"title": "x", "mapping": nodes, "current_node": "299999"}]).encode()


FILES: dict[str, tuple[Callable[[], bytes], dict[str, str]]] = {
    "empty entries": (lambda: b"[" + b"{}," * 10_800_000 + b"{}]", JSON),
    "empty lines": (lambda: b"{}\n" * 10_800_000, NDJSON),
    "brackets": (lambda: b"[" * 32_000_000, JSON),
    "a chain of nodes": (chain_of_nodes, JSON),
    "200,000 messages": (lambda: json.dumps(conversation([message("x") for _ in range(200_000)])).encode(), JSON),
    "messages of marks": (
        lambda: json.dumps(conversation([message("\u0301" * 900_000) for _ in range(5)])).encode(),
        JSON,
    ),
}
"""The import files that cost most for their size, of at most 31 MiB."""


QUICK: dict[str, Attack] = {
    "log-ins": log_ins,
    "accounts": accounts,
    "turns": turns,
    "completions": completions,
    "broken JSON": broken_json,
    "searches": searches,
    "marks to import": marks_to_import,
    "branches": branches,
    "a turn after a long import": a_turn_after_a_long_import,
}
