"""How long clients of a whole answer wait for its end to be stored."""

from chat.settings import DEFAULT_FINISH_PENDING_AFTER, ChatSettings


def test_clients_wait_thirty_seconds_unless_an_operator_says_otherwise() -> None:
    assert DEFAULT_FINISH_PENDING_AFTER == 30.0
    assert ChatSettings.model_fields["finish_pending_after"].default == DEFAULT_FINISH_PENDING_AFTER
