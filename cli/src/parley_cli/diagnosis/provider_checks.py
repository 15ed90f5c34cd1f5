"""Checks of the model providers: reachable, and the API key accepted."""

from typing import TYPE_CHECKING

from parley_cli.diagnosis.findings import Finding, fault

if TYPE_CHECKING:
    from chat.settings import ChatSettings


async def check_providers(settings: "ChatSettings") -> list[Finding]:
    """Check every provider of the catalogue."""
    from chat.wiring import check_providers as check

    found = []
    for access in await check(settings):
        target, facts = f"provider {access.host}", {"latency_ms": access.latency_ms}
        if access.status == "refused":
            found.append(fault(target, "provider", "provider_key_refused", "It refuses the API key.", **facts))
        elif access.status == "unreachable":
            found.append(fault(target, "provider", "provider_unreachable", "Not reachable.", **facts))
        else:
            found.append(
                Finding(target, "provider", f"It accepts the API key, {access.latency_ms:.0f} ms.", facts=facts)
            )
    return found
