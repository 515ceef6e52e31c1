-- Dead letters in the hands of operators: what a retry needs to know, and lists by filter.
--
-- Runs while the server of the version before works: every new column may be left out of an
-- insertion. The indexes are built under a lock that holds writers back; the table has a row for
-- each bundle that was ever set aside, which is a matter of milliseconds to a second.

SET LOCAL search_path = waybill, pg_temp;

ALTER TABLE dead_letters
    -- Under which the device said it sealed, or under which it opened; null if neither is known.
    ADD COLUMN epoch integer CHECK (epoch >= 1),
    -- Retries that have failed, and what the last of them failed with.
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN last_error text,
    -- A retry is under way while this is over "attempts".
    ADD COLUMN retry_number integer NOT NULL DEFAULT 0,
    ADD COLUMN retry_asked_at timestamptz;

-- In the order in which they are listed and discarded, for each filter.
CREATE INDEX dead_letters_in_order ON dead_letters (created_at, dead_letter_id);
CREATE INDEX dead_letters_open_in_order ON dead_letters (created_at, dead_letter_id)
    WHERE resolved_at IS NULL;
CREATE INDEX dead_letters_by_tenant ON dead_letters (tenant_id, created_at, dead_letter_id);
CREATE INDEX dead_letters_by_device ON dead_letters (device_id, created_at, dead_letter_id);
CREATE INDEX dead_letters_by_code ON dead_letters (code, created_at, dead_letter_id);
-- Files without an open row are swept.
CREATE INDEX dead_letters_open_by_file ON dead_letters (file_name) WHERE resolved_at IS NULL;
DROP INDEX dead_letters_open;

-- Operators act for all tenants.
CREATE POLICY resolved_by_server ON dead_letters FOR UPDATE TO waybill_app USING (is_server());
GRANT UPDATE (retry_number, retry_asked_at) ON dead_letters TO waybill_app;

-- Listeners tell what became of a retry. They need not see what the others wrote about it.
GRANT SELECT (dead_letter_id, tenant_id, device_id, bundle_id, receipt_seq, file_name, attempts,
        resolved_at)
    ON dead_letters TO waybill_ingest;
GRANT UPDATE (resolved_at, resolution, attempts, last_error) ON dead_letters TO waybill_ingest;
