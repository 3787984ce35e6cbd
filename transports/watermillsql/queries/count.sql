-- How many messages of a topic there are.
SELECT count(*) FROM {{messages}}
