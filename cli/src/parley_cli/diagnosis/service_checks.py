"""Checks of the services: probes on their port, and dependencies and clock on their admin port."""

import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from parley_cli.diagnosis.clocks import check_clock, now
from parley_cli.diagnosis.findings import Finding, fault, warning
from parley_cli.diagnosis.probes import CALL_TIMEOUT, Unreachable, reason

OK, UNAVAILABLE = 200, 503
HALF_A_SECOND = 0.5
"""A Date header names the second that has begun: on average, half a second has passed since."""


async def check_service(target: str, url: str) -> list[Finding]:
    """Check that a replica answers and accepts requests."""
    async with httpx2.AsyncClient(base_url=url, timeout=CALL_TIMEOUT, trust_env=False) as client:
        began, asked = time.perf_counter(), now()
        health = await _get(client, "/health")
        latency, answered = (time.perf_counter() - began) * 1000, now()
        ready = await _get(client, "/ready")
    version = _text(health, "version")
    facts = {"version": version, "latency_ms": round(latency, 1), "ready": ready.status_code == OK}
    clock = _clock(target, health, asked, answered)
    if ready.status_code != OK:
        state = _text(ready, "reason") or _text(ready, "status") or str(ready.status_code)
        return [
            fault(target, "service", "service_not_ready", f"Version {version}, not ready: {state}.", **facts),
            *clock,
        ]
    return [Finding(target, "service", f"Version {version}, ready, {latency:.1f} ms.", facts=facts), *clock]


async def check_admin(target: str, url: str) -> list[Finding]:
    """Check the dependencies that a process reports, and its clock."""
    async with httpx2.AsyncClient(base_url=url, timeout=CALL_TIMEOUT, trust_env=False) as client:
        await _get(client, "/health")
        asked = now()
        health = await _get(client, "/health")
        answered = now()
        response = await _get(client, "/status")
    found = _clock(target, health, asked, answered)
    if response.status_code != OK:
        return [*found, fault(target, "status", "service_unreachable", "Its event loop does not respond.")]
    status = response.json()
    down = [each for each in status.get("dependencies", ()) if each.get("status") != "up"]
    for each in down:
        text = f"It cannot use {each['name']}: {each.get('detail') or 'down'}."
        found.append(fault(target, f"dependency {each['name']}", _code(each), text))
    if not down:
        facts = {name: status.get(name) for name in ("version", "git_sha", "uptime_s", "streams", "outbox")}
        found.append(Finding(target, "status", f"Up for {status.get('uptime_s')} s, dependencies up.", facts=facts))
    return found


def _code(dependency: dict[str, Any]) -> str:
    if dependency["name"] == "provider":
        refused = "refused" in str(dependency.get("detail")) and "key" in str(dependency.get("detail"))
        return "provider_key_refused" if refused else "provider_unreachable"
    return "service_dependency"


def compare_versions(found: list[Finding]) -> list[Finding]:
    """Return a warning if the checked services have different versions."""
    versions = sorted(
        {str(each.facts["version"]) for each in found if each.check == "service" and "version" in each.facts}
    )
    if len(versions) < 2:  # noqa: PLR2004 - one version is what is wanted
        return []
    return [
        warning("services", "versions", "versions_differ", f"Versions {', '.join(versions)} run.", versions=versions)
    ]


async def _get(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    try:
        response = await client.get(path)
    except httpx2.HTTPError as error:
        raise Unreachable("service_unreachable", f"Not reachable: {reason(error)}.") from None
    if response.status_code not in {OK, UNAVAILABLE}:
        raise Unreachable("service_unreachable", f"{path} responds {response.status_code}.")
    return response


def _text(response: httpx2.Response, name: str) -> str:
    try:
        return str(response.json().get(name) or "")
    except (ValueError, AttributeError):
        return ""


def _clock(target: str, response: httpx2.Response, asked: float, answered: float) -> list[Finding]:
    if "date" not in response.headers:
        return []
    theirs = parsedate_to_datetime(response.headers["date"]).timestamp() + HALF_A_SECOND
    return [check_clock(target, theirs, asked=asked, answered=answered)]
