"""Shared library of Parley: what every service is built from."""

__version__ = "0.1.0"
