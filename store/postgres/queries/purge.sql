-- Removes what is old, and gives how many rows and runs.
SELECT millrace_purge($1, $2, $3)
