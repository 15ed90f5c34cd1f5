"""Names of the time series that the alerts read."""

SERVICES = ("gateway", "auth", "chat", "history", "history-worker", "webhooks")
REQUESTS = "http_server_request_duration_seconds_count"
LAG = "process_event_loop_lag_seconds_bucket"


def series(name: str, job: str = "parley-gateway", **labels: str) -> str:
    pairs = {"namespace": "parley", "job": job, **labels}
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"


def answers(status: int, route: str = "/api/v1/chat") -> str:
    return series(REQUESTS, http_route=route, http_response_status_code=str(status))


def calls(outcome: str) -> str:
    return series("chat_provider_calls_total", "parley-chat", model="small", outcome=outcome)


def turns(outcome: str) -> str:
    return series("chat_stream_duration_seconds_count", "parley-chat", model="small", outcome=outcome)


def consumed(outcome: str) -> str:
    return series("events_consumed_total", "parley-history-worker", queue="history.turns", outcome=outcome)


def attempts(status: str) -> str:
    return series("webhooks_attempts_total", "parley-webhooks", status=status)


def replicas(name: str, deployment: str = "chat", namespace: str = "parley") -> str:
    labels = f'namespace="{namespace}", job="kube-state-metrics", deployment="{deployment}"'
    return f"kube_deployment_{name}{{{labels}}}"


def backup(name: str, namespace: str = "parley") -> str:
    return f'kube_cronjob_{name}{{namespace="{namespace}", job="kube-state-metrics", cronjob="backup"}}'


UP = {series("up", f"parley-{name}", pod=f"{name}-{pod}"): "1x2000" for name in SERVICES for pod in "ab"}
"""Series of every scenario in which all services run."""
LAGS = series("consumer_lag_seconds", "parley-history-worker", queue="history.turns")
PUBLISHED = series("events_published_total", "parley-chat", type="conversation.turn.completed")
DELIVERIES = series("webhooks_deliveries_created_total", "parley-webhooks")
