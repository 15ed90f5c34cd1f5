"""Runs of periodic tasks, of which one replica at a time claims each."""

# A time in the future is that of another clock: after a failover, the new server's may be behind.
CLAIM_RUN = """
INSERT INTO claimed_runs AS r (name, began_at) VALUES ($1, now())
ON CONFLICT (name) DO UPDATE SET began_at = now()
WHERE r.began_at NOT BETWEEN now() - make_interval(secs => $2) AND now()
RETURNING true"""
