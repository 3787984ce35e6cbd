-- See schema.sql.
SELECT millrace_watermill_ready($1, $2)
