-- Tells processes that sleep that messages of topics are free, those due from a
-- time on; each is told once, by one. Who said so days ago is gone.
WITH woken AS (
    DELETE FROM millrace_asleep WHERE listener IN (
        SELECT a.listener FROM millrace_asleep a
        WHERE a.listener <> $1 AND (a.since < millrace_now() - 86400000000 OR EXISTS (
            SELECT FROM unnest($2::text[], $3::bigint[]) AS u (topic, due)
            WHERE u.topic = ANY (a.topics) AND (u.due = 0 OR a.next = 0 OR u.due < a.next)
        ))
        FOR UPDATE SKIP LOCKED
    ) RETURNING listener
)
SELECT pg_notify('millrace_' || listener, '') FROM woken
