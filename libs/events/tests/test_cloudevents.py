"""CloudEvents envelope: written as the contract says, readable by the CloudEvents SDK, and validated when read."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from parley_events.catalogue import CATALOGUE, model_of
from parley_events.cloudevents import (
    CONTENT_TYPE,
    CloudEvent,
    MalformedEvent,
    from_headers,
    round_trip,
    to_headers,
    to_structured,
)

EVENT = CloudEvent(
    id=UUID("01a200aa-0000-7000-8000-00000000000a"),
    source="/services/chat",
    name="conversation.turn.completed",
    version=1,
    subject="01a200aa-0000-7000-8000-000000000000",
    time=datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC),
    partition_key="01a200aa-0000-7000-8000-000000000000",
    sequence=12,
    data=b'{"text":"gr\xc3\xbc\xc3\x9fe"}',
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40)
events = st.builds(
    CloudEvent,
    id=st.uuids(),
    source=words,
    name=st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8}){0,3}", fullmatch=True),
    version=st.integers(1, 99),
    subject=words,
    time=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 - the time zone is added below
        lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
    ),
    partition_key=words,
    sequence=st.integers(0, 2**63 - 1),
    data=st.dictionaries(words, st.integers() | words, max_size=3).map(
        lambda value: json.dumps({key: str(found) for key, found in value.items()}).encode()
    ),
    traceparent=st.none() | words,
)


def test_the_headers_are_those_of_the_contract() -> None:
    assert to_headers(EVENT) == {
        "ce-specversion": "1.0",
        "ce-id": "01a200aa-0000-7000-8000-00000000000a",
        "ce-source": "/services/chat",
        "ce-type": "io.parley.conversation.turn.completed.v1",
        "ce-subject": "01a200aa-0000-7000-8000-000000000000",
        "ce-time": "2026-11-22T10:00:00.123Z",
        "ce-partitionkey": "01a200aa-0000-7000-8000-000000000000",
        "ce-sequence": "00000000000000000012",
        "ce-traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ce-dataschema": "urn:parley:schema:conversation.turn.completed:v1",
    }
    assert EVENT.routing_key == "conversation.turn.completed"


@given(events)
def test_an_event_is_unchanged_after_encoding_and_decoding(event: CloudEvent) -> None:
    assert round_trip(event) == event


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_sequences_sort_as_text(first: int, second: int) -> None:
    written = [to_headers(replace(EVENT, sequence=number))["ce-sequence"] for number in (first, second)]
    assert (written[0] < written[1]) == (first < second)


@given(events)
def test_the_cloudevents_sdk_reads_binary_mode(event: CloudEvent) -> None:
    message = RabbitMQMessage(headers=dict(to_headers(event)), content_type=CONTENT_TYPE, body=event.data)
    found = from_binary(message, JSONFormat())
    assert (found.get_id(), found.get_source(), found.get_type()) == (str(event.id), event.source, event.type)
    assert (found.get_subject(), found.get_time()) == (event.subject, event.time)
    assert found.get_dataschema() == event.schema
    assert found.get_extension("partitionkey") == event.partition_key
    assert found.get_extension("sequence") == f"{event.sequence:020d}"
    assert found.get_data() == event.json()


def test_the_cloudevents_sdk_reads_structured_mode() -> None:
    message = RabbitMQMessage(headers={}, content_type="application/cloudevents+json", body=to_structured(EVENT))
    found = from_structured(message, JSONFormat())
    assert (found.get_id(), found.get_type(), found.get_time()) == (str(EVENT.id), EVENT.type, EVENT.time)
    assert found.get_data() == EVENT.json()


def test_a_time_in_another_zone_is_converted_to_utc() -> None:
    east = EVENT.time.astimezone(timezone(timedelta(hours=8)))
    assert from_headers({**to_headers(EVENT), "ce-time": east.isoformat()}, EVENT.data) == EVENT


@pytest.mark.parametrize("missing", ["ce-id", "ce-type", "ce-time", "ce-sequence", "ce-partitionkey", "ce-source"])
def test_an_envelope_that_lacks_an_attribute_is_malformed(missing: str) -> None:
    headers = {name: value for name, value in to_headers(EVENT).items() if name != missing}
    with pytest.raises(MalformedEvent, match=missing):
        from_headers(headers, EVENT.data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce-id", "not-a-uuid"),
        ("ce-id", b"bytes"),
        ("ce-type", "com.example.thing.v1"),
        ("ce-type", "io.parley.thing"),
        ("ce-type", "io.parley.thing.vx"),
        ("ce-time", "yesterday"),
        ("ce-time", "2026-11-22T10:00:00"),
        ("ce-time", "0001-01-01T00:00:00+14:00"),
        ("ce-sequence", "first"),
    ],
)
def test_an_envelope_with_a_bad_attribute_is_malformed(name: str, value: object) -> None:
    with pytest.raises(MalformedEvent):
        from_headers({**to_headers(EVENT), name: value}, EVENT.data)


def test_every_event_type_has_exactly_one_model_of_its_version() -> None:
    names = [name for model in CATALOGUE for name in model.names]
    assert len(names) == len(set(names))
    assert all(model_of(name) is model for model in CATALOGUE for name in model.names)
    assert model_of(names[0], version=99) is None
    assert model_of("unknown.type") is None
