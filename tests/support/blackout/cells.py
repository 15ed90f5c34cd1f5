"""Matrix of what breaks and how, with the statuses that users may get meanwhile."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Victim: TypeAlias = Literal[
    "postgres", "redis", "rabbitmq", "provider", "gateway", "auth", "chat", "history", "worker", "webhooks"
]
Fault: TypeAlias = Literal[
    "stopped",
    "paused",
    "vanished",
    "vanished 10 min",
    "slow 200 ms",
    "slow 2 s",
    "full",
    "wrong password",
    "failed over",
    "clock 60 s ahead",
    "clock 60 s behind",
]
Kind: TypeAlias = Literal["turn", "read", "login"]

DEPENDENCIES: tuple[Victim, ...] = ("postgres", "redis", "rabbitmq", "provider")
REPLICAS: tuple[Victim, ...] = ("gateway", "auth", "chat", "history", "worker", "webhooks")
KINDS: tuple[Kind, ...] = ("turn", "read", "login")
REPLICA_FAULTS: tuple[Fault, ...] = ("stopped", "paused", "vanished")
CLOCKS: dict[Fault, int] = {"clock 60 s ahead": 60, "clock 60 s behind": -60}
FAILOVERS: tuple[Victim, ...] = ("postgres", "redis", "rabbitmq")
SECONDS: dict[Fault, float] = {
    "vanished": 60,
    "vanished 10 min": 600,
    "slow 200 ms": 10,
    "slow 2 s": 15,
    "failed over": 5,
}
"""Seconds of a fault. Vanished: longer than keepalive and TCP_USER_TIMEOUT take to end a connection."""
LONG: Fault = "vanished 10 min"
"""A fault that is run only where it is named."""
DEFAULT_SECONDS = 12.0

OK = frozenset({200})
UNAVAILABLE = frozenset({200, 503})
PENDING = frozenset({200, 503, 504})
"""504: the turn goes on, and its end is not stored in time; the error names the turn."""
UPSTREAM = frozenset({200, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault of one victim, and what is allowed meanwhile."""

    victim: Victim
    fault: Fault
    allowed: dict[Kind, frozenset[int]]
    """Statuses by kind of request; a kind that is missing must always succeed."""
    cut_short: frozenset[str] = field(default=frozenset())
    """Ends of running streams that are allowed besides ``completed``."""

    @property
    def seconds(self) -> float:
        """The duration of the fault. Sentinels and RabbitMQ elect by themselves, at once."""
        if self.fault == "failed over" and self.victim != "postgres":
            return 0
        return SECONDS.get(self.fault, DEFAULT_SECONDS)

    @property
    def streams(self) -> int:
        """The number of streams that are open when it begins."""
        return 50 if self.fault == "failed over" else 8

    @property
    def name(self) -> str:
        """The key of its result."""
        return f"{self.victim}: {self.fault}"

    def allows(self, kind: Kind, status: int) -> bool:
        """Return whether a request of this kind may get this status during the fault."""
        return status in self.allowed.get(kind, OK)


def matrix() -> list[Cell]:
    """Return every cell."""
    found = [
        *(Cell("postgres", fault, dict.fromkeys(KINDS, PENDING)) for fault in faults_of("postgres")),
        *(Cell("redis", fault, {}) for fault in faults_of("redis")),
        *(Cell("rabbitmq", fault, {}) for fault in faults_of("rabbitmq")),
        *(
            Cell("provider", fault, {"turn": UPSTREAM}, frozenset({"incomplete", "failed"}))
            for fault in faults_of("provider")
        ),
    ]
    # A changed clock needs a restart, which refuses and cuts short what an end of the process does.
    for fault in (*REPLICA_FAULTS, *CLOCKS):
        found += [
            Cell("gateway", fault, {}),
            Cell("auth", fault, {"login": UPSTREAM}),
            Cell("chat", fault, {"turn": UPSTREAM}, frozenset({"incomplete"})),
            Cell("history", fault, {"read": UNAVAILABLE | {504}}),
            Cell("worker", fault, {}),
            Cell("webhooks", fault, {}),
        ]
    return found


def faults_of(victim: Victim) -> list[Fault]:
    """Return the faults of a dependency."""
    found: list[Fault] = ["stopped", "paused", "vanished", LONG, "slow 200 ms", "slow 2 s", "full", "wrong password"]
    return [*found, "failed over"] if victim in FAILOVERS else found
