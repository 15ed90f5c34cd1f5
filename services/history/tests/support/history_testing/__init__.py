"""Test doubles, sample events and a running app for the tests of the history service."""
