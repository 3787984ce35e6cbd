-- Lets others have messages that this holder works on, and tells who waits.
WITH back AS (
    DELETE FROM millrace_watermill_leases l
    USING unnest($3::text[], $4::bigint[]) AS k (xid, "offset")
    WHERE l.messages = $1 AND l.holder = $2 AND l.transaction_id = k.xid::xid8 AND l."offset" = k."offset"
)
SELECT millrace_watermill_wake(ARRAY[$1])
