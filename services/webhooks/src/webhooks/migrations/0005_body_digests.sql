-- The digest of a body is stored with it: a page of the delivery log shows a hundred of them, and read a hundred bodies. Rows
-- from before have none.
ALTER TABLE events ADD COLUMN body_sha256 bytea;
COMMENT ON COLUMN events.body_sha256 IS 'SHA-256 of the body. NULL in rows of an earlier release.';

CREATE FUNCTION digest_body() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.body_sha256 := sha256(NEW.body);
    RETURN NEW;
END
$$;
CREATE TRIGGER digest_body BEFORE INSERT OR UPDATE OF body ON events FOR EACH ROW EXECUTE FUNCTION digest_body();
