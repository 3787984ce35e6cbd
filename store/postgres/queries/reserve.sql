-- Draws so many numbers in a row, and gives the first.
SELECT millrace_reserve($1)
