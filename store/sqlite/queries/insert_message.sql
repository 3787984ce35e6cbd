-- Adds a message. A seq that exists is an error.
INSERT INTO millrace_messages (seq, topic, run, name, due, priority, worker, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
