"""Stub of history's and auth's routes that chat calls."""

import dataclasses
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse


@dataclasses.dataclass
class StubHistory:
    """Responses that the test sets, by conversation ID; every route returns 503 while ``down``."""

    url: str = ""
    owners: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    messages: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    known: set[str] = dataclasses.field(default_factory=set)
    down: bool = False
    jwks: dict[str, Any] = dataclasses.field(default_factory=dict)
    deletions: list[dict[str, str]] = dataclasses.field(default_factory=list)
    requested_paths: list[str] = dataclasses.field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def record(request: Request, call_next: Any) -> Any:
            self.requested_paths.append(request.url.path)
            return JSONResponse({}, 503) if self.down else await call_next(request)

        @app.post("/api/v1/auth/token")
        async def token() -> dict[str, Any]:
            return {"access_token": "service", "expires_in": 900}

        @app.get("/.well-known/jwks.json")
        async def jwks() -> Any:
            return self.jwks

        @app.get("/internal/conversations/{conversation_id}/owner")
        async def owner(conversation_id: str) -> JSONResponse:
            found = self.owners.get(conversation_id)
            return JSONResponse(found or {}, 200 if found else 404)

        @app.get("/internal/conversations/deleted")
        async def deleted() -> dict[str, Any]:
            return {"deletions": self.deletions}

        @app.put("/internal/conversations/{conversation_id}")
        async def create(conversation_id: str, request: Request) -> JSONResponse:
            new = conversation_id not in self.owners
            fresh = {"user_id": orjson.loads(await request.body())["user_id"], "deleted": False, "last_number": 0}
            self.owners.setdefault(conversation_id, {**fresh, "latest_answer_id": None})
            body: dict[str, Any] = {
                "id": conversation_id,
                "title": None,
                "created_at": "2026-11-22T10:00:00.123Z",
                "metadata": {},
            }
            return JSONResponse(body, 201 if new else 200, {"ETag": '"1"'})

        @app.get("/internal/conversations/{conversation_id}/branch")
        async def branch(conversation_id: str) -> dict[str, Any]:
            return {"messages": self.messages.get(conversation_id, []), "more": False}

        @app.post("/internal/turns/known")
        async def known(request: Request) -> dict[str, Any]:
            turn_ids = orjson.loads(await request.body())["turn_ids"]
            return {"known": [turn_id for turn_id in turn_ids if turn_id in self.known]}

        return app
