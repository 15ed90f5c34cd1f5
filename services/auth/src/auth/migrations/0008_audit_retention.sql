-- Entries can be deleted when they are old: AUDIT_RETENTION_DAYS is 30 or more. They can never be changed.
DROP TRIGGER audit_log_append_only ON audit_log;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

CREATE FUNCTION audit_log_keeps_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.at > now() - interval '30 days' THEN
        RAISE EXCEPTION 'the audit log keeps its entries for 30 days' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER audit_log_keeps_entries BEFORE DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_keeps_entries();
