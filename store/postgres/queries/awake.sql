-- Says that a process need not be told any more.
DELETE FROM millrace_asleep WHERE listener = $1
