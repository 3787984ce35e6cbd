-- The run that indexes a folder.
SELECT run FROM folders WHERE path = ?1
