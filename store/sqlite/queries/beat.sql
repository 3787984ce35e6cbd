-- Keeps a worker alive. Changes nothing when it was closed.
UPDATE millrace_workers SET until = ?2 WHERE key = ?1
