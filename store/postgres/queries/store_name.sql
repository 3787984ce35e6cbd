-- Reads the name that the store was given when it was made.
SELECT value FROM millrace_meta WHERE name = 'store'
