-- Says that a process found nothing to grab, and wants to be told.
INSERT INTO millrace_asleep (listener, topics, next, since) VALUES ($1, coalesce($2::text[], '{}'), $3, millrace_now())
ON CONFLICT (listener) DO UPDATE SET topics = excluded.topics, next = excluded.next, since = excluded.since
