"""Execution of admitted turns: runners, logs, readers, leases and recovery."""
