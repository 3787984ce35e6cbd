-- Tells the number of the last commit of a connection, 0 when there is none.
-- Waits for the end of one that is under way.
INSERT INTO millrace_commits AS c (mark, number, at) VALUES ($1, 0, millrace_now())
ON CONFLICT (mark) DO UPDATE SET at = excluded.at
RETURNING number
