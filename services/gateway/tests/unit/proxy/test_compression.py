"""gzip compression of responses."""

import gzip

import pytest

from gateway.proxy import compression


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        (b"gzip", True),
        (b"br, gzip;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0", False),
        (b"br", False),
        (b"br," * 20 + b"gzip", False),
        (b"", False),
    ],
)
def test_gzip_is_used_when_it_is_accepted(accepted: bytes, wanted: bool) -> None:
    assert compression.accepts_gzip(accepted) is wanted


def test_compressed_pieces_decompress_to_the_response() -> None:
    compressor = compression.Compressor()
    assert gzip.decompress(compressor.feed(b"a" * 100) + compressor.finish(b"b")) == b"a" * 100 + b"b"
