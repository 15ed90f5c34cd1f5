-- Periodic tasks of which one replica at a time has a run.
CREATE TABLE claimed_runs (
    name text PRIMARY KEY,
    began_at timestamptz NOT NULL
);
