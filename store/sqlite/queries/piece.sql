-- Finds the last seq of a piece of messages, and how many the piece has.
SELECT max(seq), count(*) FROM (
    SELECT seq FROM millrace_messages WHERE seq > ? ORDER BY seq LIMIT ?
)
