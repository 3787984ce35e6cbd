-- Deletes messages that are done, whoever works on them by now, and what says
-- so.
WITH done AS (
    SELECT k.xid::xid8 AS transaction_id, k."offset"
    FROM unnest($2::text[], $3::bigint[]) AS k (xid, "offset")
), free AS (
    DELETE FROM millrace_watermill_leases l USING done
    WHERE l.messages = $1 AND l.transaction_id = done.transaction_id AND l."offset" = done."offset"
)
DELETE FROM {{messages}} m USING done
WHERE m.transaction_id = done.transaction_id AND m."offset" = done."offset"
