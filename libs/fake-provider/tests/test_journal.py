"""Journal: limits and stored headers."""

import orjson
import pytest

from fake_provider.journal import CallJournal, redacted


def test_only_the_newest_calls_are_kept() -> None:
    journal = CallJournal(size=2)
    for _ in range(5):
        journal.close(journal.open([]), "completed")
    assert [entry["seq"] for entry in journal.select()] == [4, 5]
    assert journal.summary() == {"last_seq": 5, "in_flight": 0, "peak_in_flight": 1, "dropped": 3}


def test_bodies_are_bounded_in_bytes() -> None:
    journal = CallJournal(max_bytes=25)
    for _ in range(4):
        journal.store_body(journal.open([]), b'"0123456"')
    assert [entry["seq"] for entry in journal.select()] == [3, 4]


def test_a_dropped_call_adds_no_bytes() -> None:
    journal = CallJournal(max_bytes=10)
    forgotten = journal.open([])
    journal.clear()
    journal.open([])
    journal.store_body(forgotten, b"0123456789-")
    assert len(journal.select()) == 1


def test_a_journal_without_bodies_stores_none() -> None:
    journal = CallJournal(bodies=False)
    journal.store_body(journal.open([]), b'{"model":"m"}')
    assert journal.select()[0]["request"] is None


@pytest.mark.parametrize("content", ["a needle", [{"type": "text", "text": "a needle"}, {"type": "image_url"}, 7]])
def test_text_is_found_in_every_form_of_content(content: object) -> None:
    journal = CallJournal()
    journal.store_body(journal.open([]), orjson.dumps({"messages": [3, {"content": content}]}))
    journal.store_body(journal.open([]), b'{"messages":"needle"}')
    journal.store_body(journal.open([]), b"needle {")
    assert [entry["seq"] for entry in journal.select(contains="needle")] == [1]


def test_secrets_are_stored_as_digests() -> None:
    journal = CallJournal()
    secret_headers = [(b"authorization", b"Bearer canary"), (b"x-api-key", b"canary"), (b"cookie", b"a=canary")]
    journal.open([*secret_headers, (b"x-other", b"canary")])
    assert "canary" not in repr(journal.select())
    assert redacted(b"Bearer one") != redacted(b"Bearer two")
