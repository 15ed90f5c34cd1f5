"""Opening and closing everything the gateway needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter, Gauge

from gateway.access.admission import Admission
from gateway.access.auth_client import AuthClient
from gateway.access.client_addresses import AddressBook
from gateway.access.cors import Cors
from gateway.access.credentials import Credentials
from gateway.access.plans import load_plans
from gateway.access.policy import Guard
from gateway.access.revocations import Revocations
from gateway.access.stream_leases import Places
from gateway.access.streams import Streams
from gateway.local.docs_pages import Pages
from gateway.local.responses import OwnAnswers
from gateway.observability.access_log import AccessLog, Write, write_stdout
from gateway.pipeline import Pipeline
from gateway.proxy.http_proxy import Proxy
from gateway.proxy.response_headers import CommonHeaders
from gateway.proxy.websocket import SocketProxy
from gateway.routes import Route, RouteTable, all_routes
from gateway.server.connections import Edge
from gateway.settings import GatewaySettings, split
from gateway.upstream.endpoint import parse_address
from gateway.upstream.pool import SWEEP, Pool, PoolLimits
from gateway.upstream.resolver import Resolver
from parley.process.tasks import background
from parley.ratelimit.limiter import Limiter, TokenSession, open_limiter
from parley.security.tokens import TokenVerifier, open_verifier
from parley.storage.redis import open_redis
from parley.web.runtime import Runtime

REDIS_TIMEOUT = 1.0
"""Seconds; the limiter has its own, shorter patience."""


@dataclass(frozen=True, slots=True)
class Wired:
    """What the app needs."""

    pipeline: Pipeline
    verifier: TokenVerifier
    limiter: Limiter
    pools: dict[str, Pool]
    streams: Streams


@contextlib.asynccontextmanager
async def wire(
    settings: GatewaySettings,
    runtime: Runtime,
    *,
    edge: Edge | None = None,
    routes: Iterable[Route] | None = None,
    limiter: type[Limiter] = Limiter,
) -> AsyncIterator[Wired]:
    """Open the gateway's parts; ``edge`` holds its client connections to their deadlines; all ``routes`` by default."""
    registry, lifecycle = runtime.metrics.registry, runtime.lifecycle
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(
            open_redis(settings.redis_url.get_secret_value(), timeout=REDIS_TIMEOUT)
        )
        runtime.pings["redis"] = redis.ping
        limits = await stack.enter_async_context(
            open_limiter(
                redis,
                service="gateway",
                registry=registry,
                timeout=settings.rate_limit_patience,
                replicas=settings.workers,
                kind=limiter,
            )
        )
        verifier = await stack.enter_async_context(open_verifier(settings.keys_url(), issuer=settings.issuer()))
        pools = make_pools(settings, runtime)
        stack.callback(close_pools, pools)
        auth = AuthClient(pools["auth"], settings.internal_client_secret)
        revocations = Revocations(auth.ask_revocations, registry)
        credentials = Credentials(verifier, load_plans(settings), auth.exchange_key)

        places = Places(redis, timeout=settings.rate_limit_patience)

        async def find_revoked(sessions: Sequence[TokenSession]) -> set[str]:
            return await revoked_sessions(limits, revocations, sessions)

        streams = Streams(find_revoked, places, most=settings.max_streams)
        access_log = AccessLog(log_writer(settings), service="gateway")
        stack.callback(access_log.flush)
        guard, cors = Guard(limits, revocations, credentials), Cors(settings.origins())
        admission, common = Admission(credentials, guard), CommonHeaders(cors, lifecycle)
        pipeline = Pipeline(
            addresses=AddressBook(split(settings.trusted_proxies), per_minute=settings.anonymous_rate_limit),
            own=OwnAnswers(Pages(runtime), cors, guard, common, base_url=settings.issuer()),
            table=RouteTable(all_routes() if routes is None else routes),
            admission=admission,
            guard=guard,
            streams=streams,
            proxy=Proxy(pools, streams, common.complete, idle_timeout=settings.idle_timeout),
            sockets=SocketProxy(pools, streams, admission.renew),
            cors=cors,
            access_log=access_log if settings.log_level in {"debug", "info"} else None,
            metrics=runtime.metrics,
            lifecycle=lifecycle,
            tracer=runtime.tracer,
            drain_delay=settings.drain_delay,
        )
        runtime.metrics.active_requests.set_function(lambda: lifecycle.open_requests)
        Gauge("gateway_streams", "Streams that are open.", registry=registry).set_function(lambda: streams.count)
        loops = {
            "upstream deadlines": lambda: sweep(pools),
            "stream sessions": streams.watch_sessions,
            "stream places": places.renew,
            "stream drain": lambda: streams.watch_drain(
                lifecycle, delay=settings.drain_delay, budget=settings.drain_timeout
            ),
        }
        for pool in pools.values():
            resolver = Resolver(pool)
            if resolver.needed:
                loops[f"addresses of {pool.name}"] = resolver.watch
        if edge is not None:
            loops["client deadlines"] = edge.watch
        for name, loop in loops.items():
            await stack.enter_async_context(background(name, loop, service="gateway"))
        yield Wired(pipeline, verifier, limits, pools, streams)


def make_pools(settings: GatewaySettings, runtime: Runtime) -> dict[str, Pool]:
    """Return the pool of each service; raises SettingsError for an address that is none."""
    limits = PoolLimits(settings.upstream_connections, settings.upstream_queue, settings.connect_timeout)
    failures = Counter(
        "gateway_upstream_failures_total",
        "Upstream requests that got no answer, by reason.",
        ["upstream", "reason"],
        registry=runtime.metrics.registry,
    )
    active = Gauge(
        "gateway_upstream_active", "Requests open at an upstream.", ["upstream"], registry=runtime.metrics.registry
    )
    pools = {}
    for name, urls in (("auth", settings.auth_url), ("chat", settings.chat_url), ("history", settings.history_url)):
        found = [parse_address(url, setting=f"{name.upper()}_URL") for url in split(urls)]
        pool = pools[name] = Pool(name, found, limits)
        pool.on_failure = partial(_count_failure, failures, name)
        active.labels(name).set_function(partial(_active, pool))
    return pools


def _count_failure(failures: Counter, name: str, reason: str) -> None:
    failures.labels(name, reason).inc()


def _active(pool: Pool) -> float:
    return sum(address.active for address in pool.addresses)


def close_pools(pools: dict[str, Pool]) -> None:
    """Close every upstream connection."""
    for pool in pools.values():
        pool.close()


async def sweep(pools: dict[str, Pool]) -> None:
    """Hold upstreams to their deadlines, for ever."""
    while True:
        await asyncio.sleep(SWEEP)
        for pool in pools.values():
            pool.sweep()


async def revoked_sessions(limiter: Limiter, revocations: Revocations, sessions: Sequence[TokenSession]) -> set[str]:
    """Return the ids of the revoked among sessions: from Redis when it knows, else from auth."""
    decisions = await asyncio.gather(*(limiter.check((), session=session) for session in sessions))
    unsure = [s for s, d in zip(sessions, decisions, strict=True) if not d.revoked and not d.revocations_known]
    found = {s.session_id for s, d in zip(sessions, decisions, strict=True) if d.revoked}
    return found | await revocations.revoked_among(unsure)


def log_writer(settings: GatewaySettings) -> Write | None:
    """Return what writes access log lines as JSON; None leaves them to structlog, in its style."""
    return write_stdout if settings.log_format == "json" else None
