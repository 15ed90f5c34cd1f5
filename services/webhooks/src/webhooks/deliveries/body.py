"""The body of a delivery."""

from datetime import datetime

from parley.times import iso


def delivery_body(name: str, time: datetime, data: bytes) -> bytes:
    """Return the JSON body of every attempt: the type without prefix and version, the time, and the data."""
    return f'{{"type":"{name}","timestamp":"{iso(time)}","data":'.encode() + data + b"}"
