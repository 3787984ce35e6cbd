-- Sums up what is indexed of a run.
SELECT count(*), coalesce(sum(files), 0), coalesce(sum(lines), 0), coalesce(sum(broken), 0),
       coalesce((SELECT packages FROM folders WHERE run = ?1), 0)
FROM packages WHERE run = ?1
