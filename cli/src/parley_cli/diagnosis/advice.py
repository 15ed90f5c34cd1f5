"""Advice on each problem that `parley doctor` finds: why it matters, what to do, and the section of the runbook."""

from dataclasses import dataclass

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True, slots=True)
class Advice:
    """Why a problem matters, what to do, and the heading of the runbook that says more."""

    impact: str
    action: str
    section: str

    @property
    def link(self) -> str:
        """The section of the runbook as a path with an anchor."""
        return f"{RUNBOOK}#{self.section}"


_TABLE = "runbook"
ADVICE = {
    "settings_invalid": Advice("The service does not start.", "Correct the setting.", _TABLE),
    "check_failed": Advice("The state is unknown.", "Run the command again; report the error if it stays.", _TABLE),
    "postgres_unreachable": Advice(
        "Requests of this service return 503.", "Restart Postgres, or correct the database URL.", _TABLE
    ),
    "postgres_refused": Advice(
        "Requests of this service return 503.", "Correct the user, the password or the database's name.", _TABLE
    ),
    "postgres_read_only": Advice("Requests that write return 503.", "Point the database URL at the writer.", _TABLE),
    "postgres_slow": Advice("Every request waits for it.", "Give Postgres more CPU or a faster disk.", _TABLE),
    "migrations_missing": Advice("The service has never started here.", "Start it: it migrates its database.", _TABLE),
    "migrations_pending": Advice(
        "This release needs them.", "Restart the service: it migrates its database.", "replicas-are-not-ready"
    ),
    "migrations_ahead": Advice(
        "A newer release has run here.", "Deploy that release, or check that this one may follow it.", _TABLE
    ),
    "migrations_changed": Advice(
        "The service refuses to start.", "Deploy the files of the release.", "replicas-are-not-ready"
    ),
    "outbox_old": Advice("History lags.", "Restore RabbitMQ.", "events-wait-in-the-outbox"),
    "redis_unreachable": Advice(
        "Limits are local, and the gateway asks auth about revocations.",
        "Restart Redis, or correct REDIS_URL.",
        "limits-are-local",
    ),
    "redis_refused": Advice(
        "Limits are local, and the gateway asks auth about revocations.",
        "Correct the user or the password of REDIS_URL.",
        "limits-are-local",
    ),
    "redis_read_only": Advice(
        "It counts as lost.", "Wait until it has loaded, or point REDIS_URL at the master.", "limits-are-local"
    ),
    "redis_full": Advice("It counts as lost.", "Add memory, or reduce CACHE_TTL.", "limits-are-local"),
    "redis_slow": Advice("Limits become local after 50 ms.", "Look at its CPU and the network.", "limits-are-local"),
    "redis_nearly_full": Advice("When it is full, it counts as lost.", "Add memory, or reduce CACHE_TTL.", _TABLE),
    "rabbitmq_unreachable": Advice(
        "Events wait in the outbox; history lags.",
        "Restart RabbitMQ, or correct AMQP_URL.",
        "events-wait-in-the-outbox",
    ),
    "rabbitmq_refused": Advice(
        "Events wait in the outbox; history lags.",
        "Correct the user, the password or its permissions.",
        "events-wait-in-the-outbox",
    ),
    "rabbitmq_node_lost": Advice(
        "Services use the other nodes.",
        "Restart the node, or correct its URL in AMQP_URL.",
        "a-node-of-rabbitmq-is-lost",
    ),
    "rabbitmq_blocked": Advice(
        "Events wait in the outbox; history lags.", "Free memory or disk of the broker.", "events-wait-in-the-outbox"
    ),
    "queue_missing": Advice(
        "No event reaches its service.", "Start the service: it declares the queue.", "history-lags"
    ),
    "queue_unread": Advice("Events wait.", "Start or restart the service that reads it.", "history-lags"),
    "queue_long": Advice("What it feeds is out of date.", "Add or restart consumers.", "history-lags"),
    "dead_letters": Advice("Some events were never handled.", "See why, then redrive them.", "dead-letters"),
    "service_unreachable": Advice(
        "The gateway returns 502 or 503 for it.", "Restart it, or correct its address.", "a-service-does-not-answer"
    ),
    "service_not_ready": Advice(
        "Load balancers send it no requests.", "Restore what the reason names.", "replicas-are-not-ready"
    ),
    "service_dependency": Advice("It runs without it.", "Restore the dependency.", _TABLE),
    "versions_differ": Advice("An upgrade is not finished.", "Finish or undo the rollout.", "replicas-are-not-ready"),
    "clock_skew": Advice(
        "Tokens, leases and limits depend on clocks.", "Synchronize the clocks (NTP).", "clocks-differ"
    ),
    "certificate_expired": Advice("Connections are refused.", "Renew it now.", "certificates"),
    "certificate_expires": Advice("Connections will be refused.", "Renew it.", "certificates"),
    "certificate_unknown": Advice("Its end is not known.", "See the finding of the server itself.", "certificates"),
    "provider_key_refused": Advice("Every turn of its models fails.", "Replace the API key.", "a-provider-fails"),
    "provider_unreachable": Advice(
        "Turns of its models fail or use fallbacks.",
        "See the provider's status page, and the network.",
        "a-provider-fails",
    ),
    "disk_nearly_full": Advice("A full disk stops the databases.", "Free some space.", "a-damaged-data-folder"),
}
