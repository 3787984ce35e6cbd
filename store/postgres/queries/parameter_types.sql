-- Tells the types of a prepared statement's parameters.
SELECT unnest(parameter_types)::oid::bigint FROM pg_prepared_statements WHERE statement = $1
