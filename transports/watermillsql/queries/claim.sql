-- Takes up to $3 messages that nobody works on, the oldest first, for $4
-- milliseconds. Two who do it at once take different ones: a row that is
-- locked is left to the other, and a lease that he got meanwhile is not
-- replaced.
WITH free AS (
    SELECT m.transaction_id, m."offset"
    FROM {{messages}} m
    WHERE NOT EXISTS (
        SELECT FROM millrace_watermill_leases l
        WHERE l.messages = $1 AND l.transaction_id = m.transaction_id AND l."offset" = m."offset"
          AND l.until > clock_timestamp())
    ORDER BY m.transaction_id, m."offset"
    LIMIT $3
    FOR UPDATE OF m SKIP LOCKED
), taken AS (
    INSERT INTO millrace_watermill_leases AS l (messages, transaction_id, "offset", holder, until)
    SELECT $1, transaction_id, "offset", $2, clock_timestamp() + $4 * interval '1 millisecond' FROM free
    ON CONFLICT (messages, transaction_id, "offset") DO UPDATE
    SET holder = excluded.holder, until = excluded.until
    WHERE l.until <= clock_timestamp()
    RETURNING l.transaction_id, l."offset"
)
SELECT m.transaction_id::text, m."offset", m.uuid, m.payload, m.metadata
FROM taken JOIN {{messages}} m ON m.transaction_id = taken.transaction_id AND m."offset" = taken."offset"
ORDER BY m.transaction_id, m."offset"
