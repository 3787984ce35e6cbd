-- Goes on working on messages for $5 milliseconds, as far as nobody else has
-- taken them over.
UPDATE millrace_watermill_leases l
SET until = clock_timestamp() + $5 * interval '1 millisecond'
FROM unnest($3::text[], $4::bigint[]) AS k (xid, "offset")
WHERE l.messages = $1 AND l.holder = $2 AND l.transaction_id = k.xid::xid8 AND l."offset" = k."offset"
