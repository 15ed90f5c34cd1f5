-- Until when deletions are forgotten: texts of events from before that may have been deleted.

CREATE TABLE purged_redactions (
    is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    until timestamptz NOT NULL
);
COMMENT ON COLUMN purged_redactions.until IS 'When the newest deletion happened whose row was purged.';
