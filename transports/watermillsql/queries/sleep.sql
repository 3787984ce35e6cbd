-- Says that this holder waits for messages of a table.
INSERT INTO millrace_watermill_sleepers (holder, messages, until)
VALUES ($1, $2, clock_timestamp() + interval '1 minute')
ON CONFLICT (holder) DO UPDATE SET until = excluded.until
