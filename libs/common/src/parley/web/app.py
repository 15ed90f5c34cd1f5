"""App factory: middleware, error handlers, health routes and lifespan of every service."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from parley import errors
from parley.web import admin_port, strict_json
from parley.web.middleware import BodyLimit, RequestContext
from parley.web.problem_handlers import install_handlers
from parley.web.requests import HeadRequests, check_request
from parley.web.service import S, Wire, make_runtime, run_service


def build_app(
    settings: S,
    *,
    service: str,
    version: str,
    description: str,
    wire: Wire[S, object],
    routers: Sequence[APIRouter],
    larger_bodies: Mapping[str, int] | None = None,
) -> FastAPI:
    """Return the FastAPI app of a service. Its lifespan opens all resources."""
    runtime = make_runtime(settings, service=service, version=version)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with run_service(runtime, settings, wire) as wired:
            app.state.wired = wired
            yield

    app = FastAPI(
        title=f"Parley {service}",
        version=version,
        description=description,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: f"{service}_{route.name}",
        # FastAPI's spans contain paths, queries and error messages, and are not controlled by our settings.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        middleware=[
            Middleware(RequestContext, runtime=runtime, base_url=settings.issuer()),
            Middleware(BodyLimit, limit=settings.body_limit, larger=dict(larger_bodies or {})),
            Middleware(HeadRequests),
        ],
        dependencies=[Depends(check_request)],
    )
    app.state.runtime = runtime
    install_handlers(app, base_url=settings.issuer())
    app.include_router(_health_router())
    for router in routers:
        app.include_router(router)
    return app


class StrictJsonRequest(Request):
    """A request whose body is read as strict JSON."""

    async def json(self) -> Any:
        """Return the body; raise InvalidJson."""
        return strict_json.loads(await self.body())


class JsonRoute(APIRoute):
    """A route that reads bodies as strict JSON, and responds 415 to other content types.

    Use as ``APIRouter(route_class=JsonRoute)``.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the check in front."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def checked(request: Request) -> Response:
            if not is_json(request.headers.get("content-type", "")):
                raise errors.UnsupportedMediaType
            return await handle(StrictJsonRequest(request.scope, request.receive))

        return checked


def is_json(content_type: str) -> bool:
    """Return whether a content type is ``application/json``, with any parameters."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _health_router() -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health")
    async def health(request: Request) -> JSONResponse:
        """Return whether the process is alive, without checking its dependencies."""
        date = {"date": admin_port.date_header()}
        return JSONResponse(admin_port.health(request.app.state.runtime), headers=date)

    @router.get("/ready")
    async def ready(request: Request) -> JSONResponse:
        """Return whether this instance accepts requests."""
        ready, body = request.app.state.runtime.lifecycle.readiness()
        return JSONResponse(body, status_code=200 if ready else 503)

    return router
