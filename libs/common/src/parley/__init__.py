"""Shared library of Parley: what every service is built from."""

from parley.process import imports

# structlog imports rich when it is installed, for tracebacks in colour: 65 modules and a tenth of the time in which a
# service starts, for output that Parley does not write.
with imports.block("rich"):
    import structlog  # noqa: F401 - it must be imported here before it is elsewhere

__version__ = "0.1.0"
