-- Registers a worker under a key that no worker ever had.
INSERT INTO millrace_workers (host, boot, pidns, pid, born, started, until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
RETURNING key
