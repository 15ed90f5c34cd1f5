"""Defaults of the settings that clients depend on."""

from chat.settings import DEFAULT_FINISH_PENDING_AFTER, ChatSettings


def test_clients_wait_thirty_seconds_for_an_answer_to_be_stored_by_default() -> None:
    assert DEFAULT_FINISH_PENDING_AFTER == 30.0
    assert ChatSettings.model_fields["finish_pending_after"].default == DEFAULT_FINISH_PENDING_AFTER
