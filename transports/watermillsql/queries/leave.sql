-- Takes back whatever says that this holder works on messages, or waits.
WITH asleep AS (DELETE FROM millrace_watermill_sleepers WHERE holder = $1)
DELETE FROM millrace_watermill_leases WHERE holder = $1
