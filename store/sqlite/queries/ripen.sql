-- Moves free messages (a JSON array of seqs) whose time has come from the index of
-- what waits to that of what can be grabbed now, or back after the clock was set
-- back. The due time is kept, negated.
UPDATE millrace_messages SET due = -due
WHERE seq IN (SELECT value FROM json_each(?)) AND worker = 0
