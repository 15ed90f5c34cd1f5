"""Route with the state of a service, for administrators: its dependencies, and where its events are."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from parley.security.identity import Principal, caller
from parley.web.runtime import Runtime
from parley.web.schemas import ResponseBody

PREFIX = "/api/v1/admin/services"
Administrator = Annotated[Principal, Depends(caller("admin"))]


class DependencyStatus(ResponseBody):
    """A server that the service needs. ``detail`` says why it is down."""

    name: str
    status: Literal["up", "down"]
    latency_ms: float | None
    detail: str | None


class OutboxStatus(ResponseBody):
    """Events that are not published yet."""

    pending: Annotated[int, Field(description="Their number, at most 10,000.")]
    oldest_age_s: Annotated[float, Field(description="Age of the oldest of them in seconds; 0 without any.")]


class QueueStatus(ResponseBody):
    """A queue of the service, or the dead letters of all services (`parley.dead`)."""

    queue: str
    waiting: Annotated[int, Field(description="Events that no consumer has taken yet.")]


class DeliveryBacklog(ResponseBody):
    """Deliveries of webhooks whose time has come."""

    due: Annotated[int, Field(description="Their number, at most 10,000.")]
    oldest_due_s: Annotated[float, Field(description="Seconds for which the oldest of them has been due.")]


class ServiceStatus(ResponseBody):
    """The state of the replica that responds. The outbox and the queues are those of all replicas.

    ``outbox`` and ``queues`` are null while they cannot be read; only webhooks has ``deliveries``.
    """

    service: str
    version: str
    status: Literal["ok", "degraded"]
    uptime_s: int
    dependencies: list[DependencyStatus]
    outbox: OutboxStatus | None
    queues: list[QueueStatus] | None
    deliveries: DeliveryBacklog | None


def service_status_router(service: str) -> APIRouter:
    """Return the route of a service. Each service has a path of its own, because the gateway chooses it by the path."""
    router = APIRouter(prefix=PREFIX, tags=["admin"])

    @router.get(f"/{service}")
    async def service_status(request: Request, response: Response, principal: Administrator) -> ServiceStatus:
        """Return the state of this service: its dependencies, and the events that wait in its outbox and queues."""
        del principal
        runtime: Runtime = request.app.state.runtime
        response.headers["Cache-Control"] = "no-store"
        return ServiceStatus.model_validate(
            {"outbox": None, "queues": None, "deliveries": None, **await runtime.status()}
        )

    return router
