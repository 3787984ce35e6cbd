-- Says that this holder does not wait any more.
DELETE FROM millrace_watermill_sleepers WHERE holder = $1
