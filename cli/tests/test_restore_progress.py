"""What a restore that fails says about the databases."""

import asyncio

import pytest

from parley_cli.backup.errors import BackupError
from parley_cli.backup.progress import RestoreProgress

SERVICES = ["chat", "auth"]


def failure(progress: RestoreProgress, error: BaseException) -> str:
    with pytest.raises(BackupError) as raised, progress.explain():
        raise error
    return str(raised.value)


def test_a_lost_connection_before_the_first_commit_restores_nothing() -> None:
    assert failure(RestoreProgress(SERVICES), ConnectionResetError(104, "Connection reset by peer")) == (
        "A database cannot be reached: Connection reset by peer. No database was restored."
    )


def test_dropped_tables_are_told() -> None:
    text = failure(RestoreProgress(SERVICES, dropped=["chat"]), ConnectionResetError())
    assert "No database was restored, and the tables of chat were dropped. Run the same command again" in text


def test_a_commit_without_an_answer_does_not_count_as_restored() -> None:
    text = failure(RestoreProgress(SERVICES, committing=True), ConnectionResetError())
    assert "Restored: none. Unfinished: chat, auth. Run the same command again with --replace" in text


@pytest.mark.parametrize("error", [asyncio.CancelledError(), RuntimeError(), BackupError("It is refused.")])
def test_whatever_ends_a_restore_after_its_commits_is_told(error: BaseException) -> None:
    text = failure(RestoreProgress(SERVICES, committing=True, restored=["chat"]), error)
    assert "The restore is incomplete. Restored: chat. Unfinished: auth." in text


def test_a_failure_after_the_last_commit_names_nothing_unfinished() -> None:
    text = failure(RestoreProgress(SERVICES, committing=True, restored=SERVICES), TimeoutError())
    assert "Restored: chat, auth. Run the same command" in text


@pytest.mark.parametrize("error", [asyncio.CancelledError(), BackupError("The database of chat is not empty.")])
def test_a_refusal_and_an_interruption_before_the_commits_stay_as_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, RestoreProgress(SERVICES).explain():
        raise error
    assert raised.value is error
