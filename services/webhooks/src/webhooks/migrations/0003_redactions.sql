-- Turns of which items were deleted: an event of theirs that arrives later must not bring the texts back.

CREATE TABLE redactions (
    turn_id uuid PRIMARY KEY,
    partition_key text NOT NULL,
    user_id uuid NOT NULL,
    revision integer NOT NULL,
    untitled boolean NOT NULL,
    kept jsonb NOT NULL,
    redacted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN redactions.untitled IS 'The message was deleted that the conversation has its first title from.';
COMMENT ON COLUMN redactions.kept IS 'Digests of the texts that are left, by the member of the event.';
CREATE INDEX redactions_of_key ON redactions (partition_key);
CREATE INDEX redactions_of_user ON redactions (user_id);
CREATE INDEX redactions_by_time ON redactions (redacted_at);
