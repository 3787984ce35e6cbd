-- Tells when the next free message of a topic falls due, after a time; parked
-- messages don't count.
SELECT min(due) FROM millrace_messages
WHERE topic = ? AND worker = 0 AND due > 0 AND due > ? AND due < 9223372036854775807
