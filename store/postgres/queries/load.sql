-- Locks and reads what a commit names.
SELECT part, i, n1, n2, n3, n4, n5, n6, t1, t2, body FROM millrace_load(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
