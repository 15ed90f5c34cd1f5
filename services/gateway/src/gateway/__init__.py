"""The gateway: the only service that clients reach."""

import parley  # noqa: F401 - it must be imported before the gateway's modules import structlog
