-- How many messages of a topic no group of plain watermill-sql has read.
SELECT count(*) FROM {{messages}} m
WHERE NOT EXISTS (
    SELECT FROM {{offsets}} o
    WHERE (m.transaction_id, m."offset") <= (o.last_processed_transaction_id, o.offset_acked))
