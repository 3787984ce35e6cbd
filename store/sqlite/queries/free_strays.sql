-- Frees what unknown workers hold in a range of seqs. What went to a broker is
-- due at once.
UPDATE millrace_messages SET worker = 0, due = CASE WHEN published > 0 THEN 0 ELSE due END
WHERE seq > ? AND seq <= ? AND worker <> 0
  AND worker NOT IN (SELECT key FROM millrace_workers)
