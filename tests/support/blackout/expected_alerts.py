"""Alerts that must fire in a cell, and those that may; any other one is a false alarm."""

from blackout.cells import LONG, Cell, Fault, Victim

BURN, LIMITS, MISSING = "ParleyErrorBudgetBurn", "ParleyLimitsLocal", "ParleyServiceMissing"
OUTBOX, RECOVERED, PROVIDER = "ParleyOutboxOld", "ParleyTurnsRecovered", "ParleyProviderFailing"
UPSTREAM, CONSUMER, LATE = "ParleyUpstreamFailing", "ParleyConsumerDown", "ParleyConsumerLag"
REVOCATIONS = "ParleyRevocationsUnknown"
REFILLED, NOT_CONSUMED = "ParleyHistoryRefilled", "ParleyEventsNotConsumed"

_GONE: tuple[Fault, ...] = ("stopped", "paused", "vanished", LONG)
_REFUSED: tuple[Fault, ...] = (*_GONE, "wrong password")
_MUST: dict[tuple[Victim, Fault], set[str]] = {
    **{("postgres", fault): {BURN} for fault in (*_REFUSED, "failed over")},
    **{("redis", fault): {LIMITS} for fault in _REFUSED},
    **{("rabbitmq", fault): {OUTBOX} for fault in (*_REFUSED, "full")},
    **{("provider", fault): {BURN, PROVIDER} for fault in ("stopped", "vanished", LONG, "wrong password")},
    **{("chat", fault): {RECOVERED} for fault in _GONE},
    # One process each, so users notice. A host that is lost to the others still answers Prometheus here.
    ("auth", "stopped"): {BURN, MISSING},
    ("auth", "paused"): {MISSING},  # a log-in fails after ten seconds, and the cell lasts twelve: too few failures
    ("auth", "vanished"): {BURN},
    **{(victim, fault): {MISSING} for victim in ("worker", "webhooks") for fault in ("stopped", "paused")},
}
_MAY: dict[Victim, set[str]] = {
    "postgres": {BURN, OUTBOX, RECOVERED, UPSTREAM, CONSUMER, LATE, NOT_CONSUMED, REVOCATIONS},
    "redis": set(),
    "rabbitmq": {OUTBOX, CONSUMER, LATE, NOT_CONSUMED},
    "provider": {BURN, PROVIDER, "ParleyProviderBreakerOpen", "ParleyTurnsFailing"},
    "gateway": set(),
    "auth": {BURN, UPSTREAM, MISSING, REVOCATIONS, CONSUMER},
    "chat": {BURN, RECOVERED, UPSTREAM},
    "history": {BURN, UPSTREAM},
    "worker": {MISSING, CONSUMER, LATE, NOT_CONSUMED},
    "webhooks": {MISSING, CONSUMER, LATE},
}
"""In the replay, a second in which a consumer catches up or the load is high after a fault lasts a minute.

Revocations are unknown when auth does not answer either, as without Postgres, and a call of Redis takes too long.
An auth that is lost to the others does not receive its events either.
"""
_BUSY = {"ParleyLoopLag", LIMITS, REFILLED}
"""Alerts that other work on the machine causes in any cell: here a call of Redis may take a quarter of a second only,
and the reconciler runs every five seconds instead of every minute."""


def wrong_alerts(cell: Cell, fired: list[str]) -> list[str]:
    """Return a line for each alert that is missing or false."""
    must, found = _MUST.get((cell.victim, cell.fault), set()), set(fired)
    false = found - must - _MAY[cell.victim] - _BUSY
    return [
        *(f"the alert {name} did not fire" for name in sorted(must - found)),
        *(f"false alert {name}" for name in sorted(false)),
    ]
