-- What this transport needs beside the tables of watermill-sql. It is carried
-- out under an advisory lock, and does nothing where it was carried out before.

-- Who works on which message of which table, and until when he is trusted to.
CREATE TABLE IF NOT EXISTS millrace_watermill_leases (
    messages       text        NOT NULL,
    transaction_id xid8        NOT NULL,
    "offset"       bigint      NOT NULL,
    holder         text        NOT NULL,
    until          timestamptz NOT NULL,
    PRIMARY KEY (messages, transaction_id, "offset")
);

-- Who waits for messages of which table, and wants to be notified.
CREATE UNLOGGED TABLE IF NOT EXISTS millrace_watermill_sleepers (
    holder   text        NOT NULL PRIMARY KEY,
    messages text        NOT NULL,
    until    timestamptz NOT NULL
);

-- Notifies those who wait for messages of these tables. A NOTIFY makes commits
-- wait for each other: there is none when nobody waits.
CREATE OR REPLACE FUNCTION millrace_watermill_wake(tables text[]) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('millrace_watermill', waiting.messages)
    FROM (SELECT DISTINCT messages FROM millrace_watermill_sleepers
          WHERE messages = ANY (tables) AND until > clock_timestamp()) waiting
$$;

-- Makes the tables that are missing, by the statements that watermill-sql has
-- for that, keeps them from being dropped until the transaction ends, and
-- notifies who waits for their messages. It is called in the transaction that is
-- about to insert some.
CREATE OR REPLACE FUNCTION millrace_watermill_ready(tables text[], ddl text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(tables) LOOP
        LOOP
            IF to_regclass(tables[i]) IS NULL THEN
                PERFORM pg_advisory_xact_lock(7308332184553187378);
                EXECUTE ddl[i];
            END IF;
            BEGIN
                EXECUTE 'LOCK TABLE ' || tables[i] || ' IN ROW EXCLUSIVE MODE';
                EXIT;
            EXCEPTION WHEN undefined_table THEN -- dropped meanwhile
            END;
        END LOOP;
    END LOOP;
    PERFORM millrace_watermill_wake(tables);
END
$$;
