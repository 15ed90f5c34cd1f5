"""PDFs for tests: with text, damaged, encrypted, and hostile."""

import zlib
from collections.abc import Sequence

PAGE = (
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>"
)
TRAILER = b"trailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF"


def pdf(*pages: str, trailer: bytes = b"") -> bytes:
    """Return a PDF with a line of text on each page; an empty one has none."""
    return pdf_of([f"BT /F1 12 Tf 10 700 Td ({text}) Tj ET".encode() if text else b"q Q" for text in pages], trailer)


def pdf_of(contents: Sequence[bytes], trailer: bytes = b"", *, kids: bytes | None = None, count: int = 0) -> bytes:
    """Return a PDF whose pages have these content streams. ``kids`` and ``count`` replace those of the page tree."""
    named = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(contents))) if kids is None else kids
    found = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count or len(contents), named),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, content in enumerate(contents):
        data = zlib.compress(content)
        found.append(PAGE % (5 + 2 * number))
        found.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(data), data))
    body, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, each in enumerate(found, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start, size = len(body), len(found) + 1
    body += b"xref\n0 %d\n0000000000 65535 f \n" % size + b"".join(b"%010d 00000 n \n" % each for each in offsets)
    return bytes(body) + TRAILER % (size, trailer, start)
