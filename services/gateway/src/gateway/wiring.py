"""Wiring: opens and closes everything the gateway needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial

import structlog
from prometheus_client import Counter, Gauge

from gateway.access.auth_client import AuthClient
from gateway.access.client_addresses import client_addresses
from gateway.access.cors import Cors
from gateway.access.credentials import Authenticator
from gateway.access.plans import load_plans
from gateway.access.policy import AccessPolicy, LimitChecker
from gateway.access.revocations import RevocationLookup
from gateway.access.stream_leases import StreamLeases
from gateway.access.streams import OpenStreams
from gateway.local.account_pages import account_pages
from gateway.local.console_pages import console_pages
from gateway.local.docs_pages import docs_pages
from gateway.local.health import HealthPages
from gateway.local.responses import LocalResponses
from gateway.observability.access_log import AccessLog, Write
from gateway.pipeline import Pipeline
from gateway.proxy.http_proxy import HttpProxy
from gateway.proxy.response_headers import ResponseHeaders
from gateway.proxy.resuming import StreamResumer
from gateway.proxy.websocket import WebSocketProxy
from gateway.route_table import RouteTable
from gateway.routes import all_routes
from gateway.settings import GatewaySettings, split_list
from gateway.upstream.endpoint import parse_endpoint
from gateway.upstream.liveness import LivenessMonitor
from gateway.upstream.pool import DEADLINE_CHECK_INTERVAL, Pool, PoolLimits
from gateway.upstream.resolver import Resolver
from parley.observability import logs
from parley.process.tasks import background
from parley.ratelimit.limiter import Limiter, open_limiter
from parley.security.jwks import open_key_set
from parley.security.tokens import TokenVerifier
from parley.storage.redis import RedisClient, open_redis, ping
from parley.web.runtime import Runtime

log = structlog.get_logger()

REDIS_TIMEOUT = 1.0
"""Seconds. Rate limits and stream leases use the shorter RATE_LIMIT_PATIENCE."""
SERVICE = "gateway"


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """The parts that the app uses."""

    pipeline: Pipeline
    pools: Mapping[str, Pool]


@contextlib.asynccontextmanager
async def wire(settings: GatewaySettings, runtime: Runtime) -> AsyncIterator[GatewayParts]:
    """Open the parts of the gateway, with its rate limiter and route table."""
    async with (
        open_gateway_redis(settings, runtime) as redis,
        open_gateway_limiter(settings, runtime, redis) as limiter,
        assemble(settings, runtime, redis, limiter, RouteTable(all_routes())) as parts,
    ):
        yield parts


@contextlib.asynccontextmanager
async def open_gateway_redis(settings: GatewaySettings, runtime: Runtime) -> AsyncIterator[RedisClient]:
    """Open Redis, and report on it in ``/status``."""
    async with open_redis(settings.redis_url.get_secret_value(), timeout=REDIS_TIMEOUT) as redis:
        runtime.pings["redis"] = lambda: ping(redis)
        yield redis


def open_gateway_limiter(
    settings: GatewaySettings, runtime: Runtime, redis: RedisClient
) -> contextlib.AbstractAsyncContextManager[Limiter]:
    """Open the rate limiter that all gateway processes share."""
    return open_limiter(
        redis,
        service=SERVICE,
        registry=runtime.metrics.registry,
        timeout=settings.rate_limit_patience,
        replicas=settings.workers,
    )


@contextlib.asynccontextmanager
async def assemble(
    settings: GatewaySettings, runtime: Runtime, redis: RedisClient, limiter: LimitChecker, routes: RouteTable
) -> AsyncIterator[GatewayParts]:
    """Open the parts of the gateway around a Redis client, a rate limiter and a route table."""
    async with contextlib.AsyncExitStack() as stack:
        keys = await stack.enter_async_context(open_key_set(settings.keys_url(), report=runtime.lifecycle.wait_for))
        pools = make_pools(settings, runtime)
        stack.callback(close_pools, pools)
        policy = make_policy(
            settings, runtime, TokenVerifier(keys, issuer=settings.issuer(), cache_size=0), limiter, pools
        )
        leases = StreamLeases(redis, timeout=settings.rate_limit_patience)
        streams = OpenStreams(policy.find_revoked, leases, limit=settings.max_streams)
        access_log = AccessLog(log_writer(settings), service=SERVICE)
        stack.callback(access_log.flush)
        pipeline = make_pipeline(settings, runtime, routes, policy, streams, pools, access_log)
        observe_streams(runtime, streams)
        loops = {
            "upstream deadlines": lambda: enforce_deadlines(pools),
            "revoked streams": streams.end_revoked,
            "stream leases": leases.keep_renewed,
            "stream drain": lambda: streams.end_on_shutdown(
                runtime.lifecycle, delay=settings.drain_delay, timeout=settings.drain_timeout
            ),
        }
        resolvers = [each for each in map(Resolver, pools.values()) if each.needed]
        await asyncio.gather(*(each.refresh() for each in resolvers))
        loops |= {f"addresses of {each.name}": each.run for each in resolvers}
        for monitor in map(LivenessMonitor, pools.values()):
            loops[f"liveness of {monitor.name}"] = monitor.run
        for name, loop in loops.items():
            await stack.enter_async_context(background(name, loop, service=SERVICE))
        yield GatewayParts(pipeline, pools)


def make_policy(
    settings: GatewaySettings,
    runtime: Runtime,
    verifier: TokenVerifier,
    limiter: LimitChecker,
    pools: Mapping[str, Pool],
) -> AccessPolicy:
    """Return the access policy. Raise SettingsError for an invalid plans file."""
    if settings.internal_client_secret is None:
        log.warning("revocation_lookup_disabled", reason="INTERNAL_CLIENT_SECRET is not set")
    auth = AuthClient(pools["auth"], settings.internal_client_secret)
    authenticator = Authenticator(verifier, load_plans(settings), auth.exchange_key)
    return AccessPolicy(authenticator, limiter, RevocationLookup(auth.look_up_revocations, runtime.metrics.registry))


def make_pipeline(
    settings: GatewaySettings,
    runtime: Runtime,
    routes: RouteTable,
    policy: AccessPolicy,
    streams: OpenStreams,
    pools: Mapping[str, Pool],
    access_log: AccessLog,
) -> Pipeline:
    """Return the request pipeline. Raise SettingsError for an invalid TRUSTED_PROXIES."""
    cors, health = Cors(settings.origins()), HealthPages(runtime)
    common = ResponseHeaders(cors, runtime.lifecycle, public_url=settings.issuer())
    pages = {"/health": health.health, "/ready": health.ready, **docs_pages(), **account_pages()}
    if settings.console == "on":
        pages.update(console_pages())
    return Pipeline(
        addresses=client_addresses(settings),
        local=LocalResponses(pages, routes, cors, policy, common, base_url=settings.issuer()),
        routes=routes,
        policy=policy,
        streams=streams,
        proxy=HttpProxy(
            pools,
            streams,
            common,
            StreamResumer(runtime.metrics.registry),
            connections=settings.upstream_connections,
            idle_timeout=settings.idle_timeout,
        ),
        websockets=WebSocketProxy(pools, streams, policy),
        cors=cors,
        access_log=access_log if settings.log_level in {"debug", "info"} else None,
        metrics=runtime.metrics,
        lifecycle=runtime.lifecycle,
        tracer=runtime.tracer,
        drain_delay=settings.drain_delay,
    )


def make_pools(settings: GatewaySettings, runtime: Runtime) -> dict[str, Pool]:
    """Return the pool of each service. Raise SettingsError for an invalid address."""
    limits = PoolLimits(settings.upstream_connections, settings.upstream_queue, settings.connect_timeout)
    registry = runtime.metrics.registry
    failures = Counter(
        "gateway_upstream_failures_total",
        "Upstream requests without a complete response, by reason.",
        ["upstream", "reason"],
        registry=registry,
    )
    active = Gauge("gateway_upstream_active", "Open requests per upstream service.", ["upstream"], registry=registry)
    pools = {}
    addresses = {
        "auth": settings.auth_url,
        "chat": settings.chat_url,
        "history": settings.history_url,
        "webhooks": settings.webhooks_url,
    }
    for name, urls in addresses.items():
        endpoints = [parse_endpoint(url, setting=f"{name.upper()}_URL") for url in split_list(urls)]
        pool = pools[name] = Pool(name, endpoints, limits)
        pool.on_failure = partial(_count_failure, failures, name)
        active.labels(name).set_function(partial(_count_active, pool))
    return pools


def _count_failure(failures: Counter, name: str, reason: str) -> None:
    failures.labels(name, reason).inc()


def _count_active(pool: Pool) -> float:
    return sum(endpoint.active for endpoint in pool.endpoints)


def observe_streams(runtime: Runtime, streams: OpenStreams) -> None:
    """Report open requests and streams in the metrics and in ``/status``."""
    lifecycle = runtime.lifecycle
    runtime.metrics.active_requests.set_function(lambda: lifecycle.open_requests)
    gauge = Gauge("gateway_streams", "Open streams.", registry=runtime.metrics.registry)
    gauge.set_function(lambda: streams.count)

    async def report() -> dict[str, int]:
        return {"streams": streams.count}

    runtime.reports.append(report)


def close_pools(pools: Mapping[str, Pool]) -> None:
    """Close every upstream connection."""
    for pool in pools.values():
        pool.close()


async def enforce_deadlines(pools: Mapping[str, Pool]) -> None:
    """Enforce the deadlines of upstream requests. Runs forever."""
    while True:
        await asyncio.sleep(DEADLINE_CHECK_INTERVAL)
        for pool in pools.values():
            pool.enforce_deadlines()


def log_writer(settings: GatewaySettings) -> Write | None:
    """Return the writer of JSON access log lines, or None for a log format that structlog renders."""
    return logs.write_lines if settings.log_format == "json" else None
