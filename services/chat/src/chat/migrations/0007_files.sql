-- Files of users. An upload has a row before its object exists, so that no object is ever without one. Only 'ready' files
-- are found; the collector removes the objects of the others.

CREATE TABLE files (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    filename text NOT NULL,
    media_type text NOT NULL DEFAULT '',
    size bigint NOT NULL,
    sha256 bytea NOT NULL DEFAULT '',
    purpose text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'uploading' CHECK (status IN ('uploading', 'ready', 'deleted')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX files_of_user ON files (user_id, id);
CREATE INDEX files_to_collect ON files (created_at) WHERE status <> 'ready';
COMMENT ON COLUMN files.size IS 'Bytes. While the file is uploaded, the bytes that are reserved for it.';
