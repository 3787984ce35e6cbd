-- Gives free messages that are due to a worker.
SELECT part, n1, n2, n3, n4, n5, n6, t1, t2, body FROM millrace_grab($1, $2, $3, $4, $5, $6, $7, $8, $9)
