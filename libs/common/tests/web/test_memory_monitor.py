"""Memory monitor."""

from parley.observability.metrics import Metrics
from parley.process.memory_limit import MemoryUse
from parley.web.memory_monitor import MemoryMonitor, monitor_memory
from parley_testing import eventually
from parley_testing.telemetry.captured_logs import captured_logs


def test_a_process_warns_once_each_time_it_comes_near_its_limit() -> None:
    metrics, uses = Metrics("chat", "1", "-"), [50, 86, 99, 80, 90, 60, 90]
    monitor = MemoryMonitor(metrics, "chat", lambda: MemoryUse(uses.pop(0), 100))
    with captured_logs() as logs:
        while uses:
            monitor.check()
    assert [(line["event"], line["used_bytes"]) for line in logs] == [
        ("memory_near_limit", 86),
        ("memory_below_limit", 60),
        ("memory_near_limit", 90),
    ]
    assert metrics.registry.get_sample_value("process_memory_used_bytes") == 90
    assert metrics.registry.get_sample_value("process_memory_limit_bytes") == 100


def test_a_system_without_a_reading_is_no_failure() -> None:
    MemoryMonitor(Metrics("chat", "1", "-"), "chat", lambda: None).check()


async def test_the_memory_is_checked_while_a_service_runs() -> None:
    metrics = Metrics("chat", "1", "-")
    with monitor_memory(metrics, "chat", interval=0.001):
        metrics.memory_used.set(0)
        await eventually(lambda: metrics.registry.get_sample_value("process_memory_used_bytes"))
