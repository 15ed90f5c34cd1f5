"""All services and their servers on one machine, in one process."""
