"""What chat measures: gaps between pieces are counted cheaply, and read as any histogram."""

from prometheus_client import CollectorRegistry

from chat.measures import Measures


def test_gaps_are_a_histogram_of_their_model() -> None:
    registry = CollectorRegistry()
    gaps = Measures(registry).inter_token.of("small")
    for seconds in (0.0, 0.05, 0.07, 60.0):
        gaps.observe(seconds)

    def bucket(bound: str) -> float | None:
        labels = {"model": "small", "le": bound}
        return registry.get_sample_value("chat_stream_inter_token_seconds_bucket", labels)

    assert [bucket("0.001"), bucket("0.05"), bucket("0.1"), bucket("30.0"), bucket("+Inf")] == [1, 2, 3, 3, 4]
    assert registry.get_sample_value("chat_stream_inter_token_seconds_count", {"model": "small"}) == 4
    assert registry.get_sample_value("chat_stream_inter_token_seconds_sum", {"model": "small"}) == 60.12
