"""PostgreSQL: server, account and databases."""
