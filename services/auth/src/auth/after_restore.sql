-- The backups of the other services are some moments older than that of auth: they confirm recent erasures again.
-- auth's own confirmation was stored with the deletion, and nothing would confirm it again.
UPDATE erasure_services SET confirmed_at = NULL
WHERE service <> 'auth' AND confirmed_at > current_setting('parley.snapshot_at')::timestamptz - interval '1 hour';
UPDATE erasures AS e SET completed_at = NULL
WHERE EXISTS (SELECT FROM erasure_services AS s WHERE s.erasure_id = e.id AND s.confirmed_at IS NULL);
-- Redis may be new: it gets every revocation.
UPDATE revocations SET pushed = false;
