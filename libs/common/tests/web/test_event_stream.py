"""Data lines of server-sent events."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.web.event_stream import one_line

CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    "\u2028\u2029\x85\u00c2\u20ac\u2027\u202a\x0b\x1c"
)


@settings(max_examples=80)
@given(st.text(CHARACTERS))
def test_data_is_one_line_for_every_reader_and_means_the_same(text: str) -> None:
    data = one_line(orjson.dumps({"text": text}))
    assert len(data.decode().splitlines()) == 1
    assert orjson.loads(data) == {"text": text}
