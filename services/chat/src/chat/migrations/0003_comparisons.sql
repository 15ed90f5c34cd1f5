-- How far a comparison with another service has come.
CREATE TABLE comparisons (
    name text PRIMARY KEY,
    compared_until timestamptz NOT NULL
);
