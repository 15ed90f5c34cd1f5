"""Valkey or Redis: server and program."""
