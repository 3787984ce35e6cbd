-- Registers a worker under a key that no worker ever had.
INSERT INTO millrace_workers (host, boot, pidns, pid, born, started, until)
VALUES (?, ?, ?, ?, ?, ?, ?)
RETURNING key
