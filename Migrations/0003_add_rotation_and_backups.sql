-- Rotation of device secrets, backups, and what listeners must know of a device's keys.
--
-- Runs while the server of the version before works: every new column may be left out of an
-- insertion, and none is filled for rows that are there.

SET LOCAL search_path = waybill, pg_temp;

-- The epoch that a code makes or has made; null, of a code of the version before, means 1. A code
-- is worth something only while its epoch is the next one, or the unseen current one.
ALTER TABLE invitations ADD COLUMN epoch integer CHECK (epoch >= 1);
CREATE INDEX invitations_rotating ON invitations (rotates_device_id)
    WHERE rotates_device_id IS NOT NULL AND used_at IS NULL;
GRANT UPDATE (epoch, expires_at) ON invitations TO waybill_app;

COMMENT ON COLUMN device_keys.closed_at IS
    'From then on bundles sealed under the epoch are no longer opened; may lie ahead.';

-- Which transaction wrote the receipt; null for those from before this step, which is over.
ALTER TABLE receipts ADD COLUMN settled_in xid8;
ALTER TABLE receipts ALTER COLUMN settled_in SET DEFAULT pg_current_xact_id();

-- Backups as operators report them. One covers every receipt that was committed before it began:
-- what "seen" shows.
CREATE TABLE backups (
    backup_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now(),
    seen pg_snapshot NOT NULL,
    completed_at timestamptz
);
CREATE INDEX backups_completed ON backups (began_at) WHERE completed_at IS NOT NULL;
GRANT SELECT ON backups TO waybill_app;
GRANT INSERT (seen) ON backups TO waybill_app;
GRANT UPDATE (completed_at) ON backups TO waybill_app;

-- Listeners remember a secret only when the device has used it: until then the same epoch may get
-- another one.
CREATE POLICY of_listeners ON devices FOR SELECT TO waybill_ingest USING (true);
GRANT SELECT (device_id, epoch, first_seen_at) ON devices TO waybill_ingest;
