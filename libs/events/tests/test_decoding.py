"""Decoding: unknown events are skipped, text that databases refuse is repaired, and other data is rejected."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_events import CloudEvent, ConversationUpdated, EventData, Rejected, decode, decode_as
from parley_events.asyncapi import samples
from parley_testing.contracts.bus import make_event

UPDATED = samples()["conversation.updated"]
text = st.text(st.characters(exclude_categories=()), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text, lambda v: st.lists(v, max_size=3)
)


def updated(data: bytes) -> CloudEvent:
    return replace(make_event("conversation.updated"), data=data)


def changed(title: str) -> dict[str, Any]:
    """The changes of an event whose JSON holds ``title`` as it is, quotes included."""
    data = json.dumps({**UPDATED, "changed": {"title": "TITLE"}}).replace('"TITLE"', title)
    return decode_as(ConversationUpdated, updated(data.encode(errors="surrogatepass"))).changed


@pytest.mark.parametrize("name", samples())
def test_each_sample_is_decoded_as_the_model_of_its_type(name: str) -> None:
    data = decode(replace(make_event(name), data=json.dumps(samples()[name]).encode()))
    assert data is not None
    assert name in data.names
    assert json.loads(data.model_dump_json()) == samples()[name]


@pytest.mark.parametrize("change", [{"version": 2}, {"name": "conversation.reconsidered"}])
def test_an_unknown_type_or_version_has_no_data(change: dict[str, Any]) -> None:
    assert decode(replace(updated(b"{"), **change)) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'"a\u0000b"', "a\ufffdb"),
        (r'"a\ud800b"', "a\ufffdb"),
        (r'"a\uDC00b"', "a\ufffdb"),
        (r'"a\ud83d\ude00b"', "a😀b"),
        (r'"a\ud83d\ud83d\ude00b"', "a\ufffd😀b"),
        ('"a\ud800b"', "a\ufffdb"),
        (r'"a\u00e9b"', "aéb"),
        ('"grüße 한국어 😀"', "grüße 한국어 😀"),
    ],
)
def test_nul_and_unpaired_surrogates_become_replacement_characters(written: str, read: str) -> None:
    assert changed(written) == {"title": read}


@given(st.dictionaries(text, values, max_size=4), st.booleans())
def test_every_json_object_is_decoded_to_storable_text(data: dict[str, Any], ascii_only: bool) -> None:
    written = json.dumps({**UPDATED, "changed": data}, ensure_ascii=ascii_only)
    found = decode_as(ConversationUpdated, updated(written.encode(errors="surrogatepass"))).model_dump_json()
    assert "\x00" not in found
    assert r"\u0000" not in found.replace(r"\\", "")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[]", b"{}", rb'{"changed": {"title": "\u0000"}}', rb'["\ud800"', b'["\\u0000",' * 100_000],
)
def test_data_that_does_not_fit_the_model_is_rejected(data: bytes) -> None:
    with pytest.raises(Rejected, match=r"io\.parley\.conversation\.updated\.v1 .* does not fit its model"):
        decode(updated(data))


def test_the_members_that_do_not_fit_are_named_without_their_values() -> None:
    data = {**UPDATED, "version": "a secret", "user_id": "a text"}
    del data["changed"]
    with pytest.raises(Rejected) as caught:
        decode(updated(json.dumps(data).encode()))
    reason = "its model: changed (missing), user_id (uuid_parsing), version (int_parsing)."
    assert str(caught.value).endswith(reason)


def test_a_model_of_the_subscriber_is_used_as_given() -> None:
    class TitleOnly(EventData):
        changed: dict[str, str]

    assert decode_as(TitleOnly, updated(json.dumps(UPDATED).encode())).changed == UPDATED["changed"]
