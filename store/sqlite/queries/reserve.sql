-- Sets the next free number. Only the writer does so: no number is given twice.
UPDATE millrace_meta SET value = ? WHERE name = 'next'
