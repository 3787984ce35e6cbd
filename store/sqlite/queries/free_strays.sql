-- Frees what unknown workers hold in a range of seqs.
UPDATE millrace_messages SET worker = 0
WHERE seq > ?1 AND seq <= ?2 AND worker <> 0
  AND worker NOT IN (SELECT key FROM millrace_workers)
