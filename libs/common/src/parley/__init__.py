"""Shared library of Parley: events and the bus, identity, errors, and what every service is built from."""

__version__ = "0.1.0"
