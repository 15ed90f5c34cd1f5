"""What history keeps in Postgres; only ``history.wiring`` imports from here."""
