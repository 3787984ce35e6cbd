-- Gives the next free number, and until when a worker is alive (null when it
-- was closed or never was).
SELECT value, (SELECT until FROM millrace_workers WHERE key = ?)
FROM millrace_meta WHERE name = 'next'
