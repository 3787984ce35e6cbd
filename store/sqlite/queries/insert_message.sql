-- Adds a message. A seq that exists is an error.
INSERT INTO millrace_messages (seq, topic, run, name, due, priority, worker, published, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
