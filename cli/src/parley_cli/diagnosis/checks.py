"""All probes of a system."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from functools import partial

from parley_cli.diagnosis.addresses import replicas, tls_address
from parley_cli.diagnosis.certificate_checks import check_certificate
from parley_cli.diagnosis.disk_checks import check_disk
from parley_cli.diagnosis.findings import Finding
from parley_cli.diagnosis.postgres_checks import check_postgres
from parley_cli.diagnosis.probes import Check, Probe, run_all
from parley_cli.diagnosis.provider_checks import check_providers
from parley_cli.diagnosis.rabbitmq_checks import ClusterProbe, numbered_nodes
from parley_cli.diagnosis.redis_checks import check_redis
from parley_cli.diagnosis.service_checks import check_admin, check_service, compare_versions
from parley_cli.diagnosis.system import System

RESOLVE_TIMEOUT = 2.0


async def check_system(system: System, timeout: float) -> tuple[list[Finding], int]:
    """Return the findings and the duration in milliseconds. All probes run at once, each within ``timeout`` seconds."""
    if system.is_empty:
        return [], 0
    began = time.perf_counter()
    probes: list[Check] = [*_stores(system), *await _services(system), *_certificates(system), *_others(system)]
    found = [*system.problems, *await run_all(probes, timeout)]
    return [*found, *compare_versions(found)], round((time.perf_counter() - began) * 1000)


def _stores(system: System) -> Iterator[Check]:
    for service, dsn in system.databases.items():
        target = f"postgres {service}"
        yield Probe(target, "server", "postgres_unreachable", partial(check_postgres, target, dsn, service))
    for target, url in numbered("redis", system.redis):
        yield Probe(target, "server", "redis_unreachable", partial(check_redis, target, url))
    for target, urls in numbered("rabbitmq", system.rabbitmq):
        yield ClusterProbe(target, urls)


async def _services(system: System) -> list[Probe]:
    """Return a probe of each replica; a name that cannot be resolved is one whose probe fails."""
    probes = []
    for service, urls in system.services.items():
        found = await asyncio.gather(*map(_replicas, urls))
        probes += [
            Probe(target, "service", "service_unreachable", partial(check_service, target, url))
            for target, url in numbered(service, set(itertools.chain(*found)))
        ]
    for service, url in system.admin.items():
        target = f"{service} (admin)"
        probes.append(Probe(target, "status", "service_unreachable", partial(check_admin, target, url)))
    return probes


async def _replicas(url: str) -> list[str]:
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            return await replicas(url)
    except (OSError, ValueError):  # an unknown name, no answer in time, or a malformed URL: its probe fails
        return [url]


def _certificates(system: System) -> Iterator[Probe]:
    urls = [
        *((f"postgres {service}", dsn) for service, dsn in system.databases.items()),
        *numbered("redis", system.redis),
        *itertools.chain(*(numbered_nodes(*cluster) for cluster in numbered("rabbitmq", system.rabbitmq))),
        *((target, url) for service, found in system.services.items() for target, url in numbered(service, found)),
        *numbered("public URL", system.public_urls),
    ]
    for target, url in urls:
        if address := tls_address(url):
            run = partial(check_certificate, target, address.host, address.port, postgres=address.postgres)
            yield Probe(target, "certificate", "certificate_unknown", run)


def _others(system: System) -> Iterator[Probe]:
    if system.chat_settings is not None:
        run = partial(check_providers, system.chat_settings)
        yield Probe("provider", "provider", "provider_unreachable", run)
    for target, folder in system.folders.items():
        yield Probe(target, "disk", "check_failed", partial(check_disk, target, folder))


def numbered(name: str, urls: Iterable[str]) -> list[tuple[str, str]]:
    """Return a name for each URL: the name itself for one, with a number for several. No URL is shown."""
    found = sorted(urls)
    return [(name if len(found) == 1 else f"{name} {index}", url) for index, url in enumerate(found, 1)]
