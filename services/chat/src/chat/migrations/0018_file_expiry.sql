-- When a file is deleted, if its owner has said so at the upload.
ALTER TABLE files ADD COLUMN expires_at timestamptz;
