"""Blackout matrix: each dependency and replica, broken in each way, while users stream, read and log in."""
