-- Deletes what remains of those that died: leases of messages that others have
-- deleted, and who does not wait any more.
WITH asleep AS (DELETE FROM millrace_watermill_sleepers WHERE until < clock_timestamp() - interval '1 minute')
DELETE FROM millrace_watermill_leases WHERE until < clock_timestamp() - interval '1 hour'
