-- Frees what unknown workers hold in a range of seqs.
UPDATE millrace_messages SET worker = 0
WHERE seq > ? AND seq <= ? AND worker <> 0
  AND worker NOT IN (SELECT key FROM millrace_workers)
