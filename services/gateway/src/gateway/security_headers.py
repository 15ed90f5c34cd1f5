"""Security headers of every response, after the OWASP Secure Headers Project."""

from gateway.http import Header
from parley.web.middleware import SECURITY_HEADERS

HSTS = b"max-age=31536000; includeSubDomains"
_PERMISSIONS = (
    "accelerometer", "autoplay", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone",
    "midi", "payment", "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking",
)  # fmt: skip
_ISOLATION: tuple[Header, ...] = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", ", ".join(f"{name}=()" for name in _PERMISSIONS).encode()),
    (b"x-permitted-cross-domain-policies", b"none"),
    (b"x-dns-prefetch-control", b"off"),
)
DEFAULT_HEADERS: tuple[Header, ...] = (
    (
        b"content-security-policy",
        b"sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-store"),
)
"""Headers of responses that set no other value."""


def security_headers(public_url: str) -> tuple[Header, ...]:
    """Return the headers that no response changes. HSTS is among them if clients use HTTPS."""
    hsts: tuple[Header, ...] = ((b"strict-transport-security", HSTS),) if public_url.startswith("https://") else ()
    return (*SECURITY_HEADERS, *_ISOLATION, *hsts)
