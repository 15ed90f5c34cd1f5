"""Scenarios of the alerts: time series, and the alerts that fire on them."""

from typing import NamedTuple

from parley_testing.deployment.alert_series import (
    DELIVERIES,
    LAG,
    LAGS,
    PUBLISHED,
    SERVICES,
    UP,
    answers,
    attempts,
    backup,
    calls,
    consumed,
    replicas,
    series,
    turns,
)

PAGE, TICKET = "critical", "warning"


class Scenario(NamedTuple):
    """Time series, and the alerts that fire on them: name and severity, with their number."""

    name: str
    after: str
    series: dict[str, str]
    fires: dict[tuple[str, str], int] = {}  # noqa: RUF012 - never changed


BURN = "ParleyErrorBudgetBurn"
SCENARIOS = [
    Scenario(
        "all is well",
        "7h",
        {
            answers(200): "0+6000x450",
            answers(502): "0+5x450",
            answers(503, "/ready"): "0+600x450",
            calls("answered"): "0+600x450",
            calls("context_length_exceeded"): "0+600x450",
            calls("content_filter"): "0+600x450",
            calls("provider_timeout"): "0+5x450",
            turns("completed"): "0+600x450",
            turns("interrupted"): "0+600x450",
            turns("upstream_error"): "0+5x450",
            consumed("handled"): "0+600x450",
            consumed("dead"): "3x450",
            PUBLISHED: "0+600x450",
            LAGS: "0.2x450",
            DELIVERIES: "0+60x450",
            attempts("delivered"): "0+60x450",
            series("gateway_ratelimit_local"): "0x450",
            series("gateway_revocation_unchecked_total"): "7x450",
            series("chat_turns_recovered_total", "parley-chat"): "2x450",
            series("chat_turns_republished_total", "parley-chat"): "2x450",
            series("outbox_lag_seconds", "parley-chat"): "0.1x450",
            series(LAG, pod="a", le="0.005"): "0+60x450",
            series(LAG, pod="a", le="+Inf"): "0+60x450",
            series("process_memory_used_bytes", pod="a"): "800x450",
            series("process_memory_limit_bytes", pod="a"): "1000x450",
            series("background_task_incidents_total", task="relay", kind="failed"): "3x450",
            replicas("spec_replicas"): "2x450",
            replicas("status_replicas_ready"): "2x450",
            backup("created"): "-400000x450",
            backup("status_last_successful_time"): "-90000x450",
        },
    ),
    Scenario(
        "a fiftieth of all answers is an error",
        "10m",
        {answers(200): "0+980x10", answers(500): "0+20x10"},
        {(BURN, PAGE): 1},
    ),
    Scenario(
        "it stays so for an hour and more",
        "90m",
        {answers(200): "0+980x90", answers(500): "0+20x90"},
        {(BURN, PAGE): 2, (BURN, TICKET): 1},
    ),
    Scenario(
        "past errors do not page",
        "100m",
        {answers(200): "0+980x100", answers(500): "0+20x60 1200x40"},
        {(BURN, TICKET): 1},
    ),
    Scenario(
        "a little too many for a day",
        "26h",
        {answers(200): "0+996x1560", answers(500): "0+4x1560"},
        {(BURN, TICKET): 1},
    ),
    Scenario("the only request of an hour failed", "30m", {answers(200): "0x30", answers(500): "0 1x30"}),
    Scenario(
        "Redis is gone",
        "5m",
        {series("chat_ratelimit_local", "parley-chat"): "1x5"},
        {("ParleyLimitsLocal", TICKET): 1},
    ),
    Scenario("Redis is back", "5m", {series("chat_ratelimit_local", "parley-chat"): "1x4 0x5"}),
    Scenario(
        "Redis and auth are gone",
        "5m",
        {series("gateway_revocation_unchecked_total"): "0+5x5"},
        {("ParleyRevocationsUnknown", PAGE): 1},
    ),
    Scenario(
        "a few revocations were looked up too late",
        "6m",
        {series("gateway_revocation_unchecked_total"): "0x3 4x3"},
    ),
    Scenario(
        "history does not answer",
        "15m",
        {series("gateway_upstream_failures_total", upstream="history", reason="refused"): "0+60x15"},
        {("ParleyUpstreamFailing", TICKET): 1},
    ),
    Scenario(
        "RabbitMQ is gone",
        "15m",
        {
            series("outbox_lag_seconds", "parley-chat", pod="a"): "0+60x15",
            series("outbox_lag_seconds", "parley-chat", pod="b"): "0x15",
        },
        {("ParleyOutboxOld", TICKET): 1},
    ),
    Scenario(
        "history's worker is stuck",
        "40m",
        {PUBLISHED: "0+60x40", consumed("handled"): "60x40", LAGS: "1x40"},
        {("ParleyEventsNotConsumed", TICKET): 1},
    ),
    Scenario("no turns", "40m", {PUBLISHED: "60x40", consumed("handled"): "60x40", LAGS: "900x40"}),
    Scenario(
        "history's worker is too slow",
        "30m",
        {PUBLISHED: "0+60x30", consumed("handled"): "0+30x30", LAGS: "0+30x30"},
        {("ParleyConsumerLag", TICKET): 1},
    ),
    Scenario("the first dead letter", "10m", {consumed("dead"): "0x5 1x5"}, {("ParleyDeadLetters", TICKET): 1}),
    Scenario(
        "no replica consumes a queue",
        "10m",
        {series("consumer_up", "parley-chat", queue="chat.users", pod=pod): "1x2 0x13" for pod in "ab"}
        | {series("consumer_up", "parley-auth", queue="auth.users", pod="a"): "0x15"}
        | {series("consumer_up", "parley-auth", queue="auth.users", pod="b"): "1x15"},
        {("ParleyConsumerDown", TICKET): 1},
    ),
    Scenario(
        "deliveries of webhooks are late",
        "25m",
        {series("webhooks_oldest_due_seconds", "parley-webhooks", pod="a"): "0+60x30"},
        {("ParleyWebhooksLate", TICKET): 1},
    ),
    Scenario(
        "deliveries of webhooks wait",
        "50m",
        {DELIVERIES: "0+6x50", attempts("delivered"): "60x50"},
        {("ParleyWebhooksNotSent", TICKET): 1},
    ),
    Scenario("every receiver fails", "50m", {DELIVERIES: "0+6x50", attempts("failed"): "0+6x50"}),
    Scenario(
        "half of a provider's calls fail, and fallbacks answer",
        "15m",
        {calls("answered"): "0+60x15", calls("provider_timeout"): "0+60x15", turns("completed"): "0+60x15"},
        {("ParleyProviderFailing", TICKET): 1},
    ),
    Scenario(
        "the provider is gone, and there is no fallback",
        "30m",
        {calls("refused"): "0+60x30", calls("provider_unavailable"): "0+12x30", turns("upstream_error"): "0+60x30"},
        {
            ("ParleyProviderFailing", TICKET): 1,
            ("ParleyProviderBreakerOpen", TICKET): 1,
            ("ParleyTurnsFailing", PAGE): 1,
        },
    ),
    Scenario(
        "a chat replica died in the middle of turns",
        "10m",
        {series("chat_turns_recovered_total", "parley-chat"): "0x5 3x5"},
        {("ParleyTurnsRecovered", TICKET): 1},
    ),
    Scenario(
        "RabbitMQ lost its data",
        "10m",
        {series("chat_turns_republished_total", "parley-chat"): "0x5 12x5"},
        {("ParleyHistoryRefilled", TICKET): 1},
    ),
    Scenario(
        "a process has too much to do",
        "15m",
        {
            series(LAG, pod="a", le="0.25"): "0+50x15",
            series(LAG, pod="a", le="0.5"): "0+60x15",
            series(LAG, pod="a", le="+Inf"): "0+60x15",
        },
        {("ParleyLoopLag", TICKET): 1},
    ),
    Scenario(
        "a process is almost out of memory",
        "10m",
        {
            series("process_memory_used_bytes", pod="a"): "500x3 900x10",
            series("process_memory_limit_bytes", pod="a"): "1000x15",
        },
        {("ParleyMemoryNearLimit", TICKET): 1},
    ),
    Scenario(
        "a background task fails again and again",
        "20m",
        {series("background_task_incidents_total", task="relay", kind="failed"): "0+2x20"},
        {("ParleyBackgroundTaskUnstable", TICKET): 1},
    ),
    Scenario(
        "a pod does not become ready",
        "20m",
        {
            replicas("spec_replicas"): "3x20",
            replicas("status_replicas_ready"): "2x20",
            replicas("spec_replicas", "auth", "another"): "3x20",
            replicas("status_replicas_ready", "auth", "another"): "2x20",
        },
        {("ParleyReplicasNotReady", TICKET): 1},
    ),
    Scenario(
        "the second night without a backup",
        "7h",
        {backup("status_last_successful_time"): "-120000x450", backup("created", "another"): "-400000x450"},
        {("ParleyBackupOld", TICKET): 1},
    ),
    Scenario("no backup ever", "7h", {backup("created"): "-120000x450"}, {("ParleyBackupOld", TICKET): 1}),
]
DOWN = {
    **{
        f"{name} is not there at all": {key: value for key, value in UP.items() if f'job="parley-{name}"' not in key}
        for name in SERVICES
    },
    "every replica of auth is down": {key: "0x2000" if "auth" in key else value for key, value in UP.items()},
    "one replica of auth is down": UP | {series("up", "parley-auth", pod="auth-a"): "0x2000"},
}
