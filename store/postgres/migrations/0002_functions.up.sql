-- Functions, each a round trip instead of several. They decide nothing. Plans
-- are made once for all sizes: they must not depend on how full a table was at
-- that moment, so sequential scans, hashes and bitmaps are out. For the same
-- reason no join is an equality with the first column of an index, but a range
-- of one value, or ANY of one: for equalities the planner may read a whole index
-- in its order, which looks cheap while the table is empty. Plans are generic in
-- a caller's transaction too: a custom one makes constants of the arrays, and the
-- n-th element of such a constant is found by counting.

-- The server's clock in microseconds.
CREATE FUNCTION millrace_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- Draws numbers enough for a commit that needs more than a block: so many in a
-- row, of which it returns the first.
CREATE FUNCTION millrace_reserve(wanted bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    first bigint := nextval('millrace_numbers');
    last  bigint := first;
    n     bigint;
BEGIN
    WHILE last + 4096 < first + wanted LOOP
        n := nextval('millrace_numbers');
        IF n <> last + 4096 THEN
            first := n;
        END IF;
        last := n;
    END LOOP;
    RETURN first;
END
$$;

-- Locks and reads what a commit names. A worker's row is locked so that it
-- can't be closed before the commit ends, but may beat. Runs are locked in the
-- order of keys, then messages in the order of seq, then rows that no run's
-- lock guards, in the order of their keys; what a locked run owns is read
-- after that, in a newer snapshot. So two commits can't deadlock, and what was
-- read stays true until the commit's end, but for absent rows: inserting these
-- is what conflicts. Of holds, only those are told that the worker does not
-- have: it holds the others.
--
-- Parts: 0 now, first number, alive, store; 1 hold; 2 message; 3 run; 4 row;
-- 5 row of list i; 6 free message of run i; 7 named message i.
CREATE FUNCTION millrace_load(
    fence bigint, at bigint, fresh boolean,
    hold_seqs bigint[], message_seqs bigint[], run_keys bigint[], run_ids text[],
    lock_kinds smallint[], lock_owners text[], lock_names text[],
    row_kinds smallint[], row_owners text[], row_names text[],
    list_kinds smallint[], list_owners text[], list_limits bigint[], list_locks smallint[],
    free_runs bigint[], free_limits bigint[], named_runs bigint[], named_names text[]
) RETURNS TABLE (
    part smallint, i integer, n1 bigint, n2 bigint, n3 bigint, n4 bigint, n5 bigint, n6 bigint,
    t1 text, t2 text, body bytea
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    alive bigint := 0;
BEGIN
    IF fence <> 0 THEN
        PERFORM FROM millrace_workers w WHERE w.key = fence FOR KEY SHARE;
        IF FOUND THEN
            alive := 1;
        END IF;
    END IF;
    IF cardinality(run_ids) > 0 THEN
        run_keys := run_keys || ARRAY(SELECT r.key FROM millrace_runs r WHERE r.id = ANY (run_ids));
    END IF;
    IF cardinality(run_keys) > 0 THEN
        RETURN QUERY SELECT 3::smallint, 0, r.key, r.status::bigint, r.ended, 0::bigint, 0::bigint, 0::bigint, r.id, r.name, r.body
            FROM millrace_runs r WHERE r.key = ANY (run_keys) ORDER BY r.key FOR NO KEY UPDATE;
    END IF;
    IF cardinality(message_seqs) > 0 THEN
        RETURN QUERY SELECT 2::smallint, 0, m.seq, m.run, m.due, m.priority::bigint, m.worker, m.published::bigint, m.topic, m.name, m.body
            FROM millrace_messages m WHERE m.seq = ANY (message_seqs) ORDER BY m.seq FOR UPDATE;
    END IF;
    FOR i IN 1 .. coalesce(cardinality(free_runs), 0) LOOP
        RETURN QUERY SELECT 6::smallint, i, m.seq, m.run, m.due, m.priority::bigint, m.worker, m.published::bigint, m.topic, m.name, m.body
            FROM millrace_messages m WHERE m.run = free_runs[i] AND m.run <> 0 AND m.worker = 0
            ORDER BY m.run, m.seq LIMIT free_limits[i] FOR UPDATE;
    END LOOP;
    FOR i IN 1 .. coalesce(cardinality(named_runs), 0) LOOP
        RETURN QUERY SELECT 7::smallint, i, m.seq, m.run, m.due, m.priority::bigint, m.worker, m.published::bigint, m.topic, m.name, m.body
            FROM millrace_messages m WHERE m.run = named_runs[i] AND m.name = named_names[i] AND m.name IS NOT NULL
            ORDER BY m.run DESC, m.name DESC, m.seq DESC LIMIT 1 FOR UPDATE;
    END LOOP;
    IF cardinality(lock_kinds) > 0 THEN
        RETURN QUERY SELECT 4::smallint, 0, r.kind::bigint, r.until, 0::bigint, 0::bigint, 0::bigint, 0::bigint, r.owner, r.name, r.body
            FROM unnest(lock_kinds, lock_owners, lock_names) AS u (kind, owner, name)
            JOIN millrace_rows r ON r.kind = ANY (ARRAY[u.kind]) AND r.owner = u.owner AND r.name = u.name
            ORDER BY u.kind, u.owner COLLATE "C", u.name COLLATE "C" FOR UPDATE OF r;
    END IF;
    IF cardinality(hold_seqs) > 0 THEN
        RETURN QUERY SELECT 1::smallint, CASE WHEN m.seq IS NULL THEN 0 ELSE 1 END, u.seq, m.worker, 0::bigint, 0::bigint, 0::bigint, 0::bigint, NULL::text, NULL::text, NULL::bytea
            FROM unnest(hold_seqs) AS u (seq) LEFT JOIN millrace_messages m ON m.seq >= u.seq AND m.seq <= u.seq
            WHERE m.worker IS DISTINCT FROM fence;
    END IF;
    IF cardinality(row_kinds) > 0 THEN
        RETURN QUERY SELECT 4::smallint, 0, r.kind::bigint, r.until, 0::bigint, 0::bigint, 0::bigint, 0::bigint, r.owner, r.name, r.body
            FROM unnest(row_kinds, row_owners, row_names) AS u (kind, owner, name)
            JOIN millrace_rows r ON r.kind = ANY (ARRAY[u.kind]) AND r.owner = u.owner AND r.name = u.name;
    END IF;
    FOR i IN 1 .. coalesce(cardinality(list_kinds), 0) LOOP
        IF list_locks[i] = 0 THEN
            RETURN QUERY SELECT 5::smallint, i, r.kind::bigint, r.until, 0::bigint, 0::bigint, 0::bigint, 0::bigint, r.owner, r.name, r.body
                FROM millrace_rows r WHERE r.kind = list_kinds[i] AND r.owner = list_owners[i]
                ORDER BY r.kind, r.owner, r.name LIMIT list_limits[i];
        ELSE
            RETURN QUERY SELECT 5::smallint, i, r.kind::bigint, r.until, 0::bigint, 0::bigint, 0::bigint, 0::bigint, r.owner, r.name, r.body
                FROM millrace_rows r WHERE r.kind = list_kinds[i] AND r.owner = list_owners[i]
                ORDER BY r.kind, r.owner, r.name LIMIT list_limits[i] FOR UPDATE;
        END IF;
    END LOOP;
    RETURN QUERY SELECT 0::smallint, 0, coalesce(at, millrace_now()),
        CASE WHEN fresh THEN nextval('millrace_numbers') ELSE 0 END, alive, 0::bigint, 0::bigint, 0::bigint,
        m.value, NULL::text, NULL::bytea FROM millrace_meta m WHERE m.name = 'store';
END
$$;

-- Writes what a commit changes, and under the mark of its connection a number
-- that tells it from the one before. Returns the transaction, the time, and
-- numbers for a later commit if wanted (0: none); an array, since a row would be
-- kept in a table of its own first.
--
-- Drops is how many messages go. They are told by stretches of numbers that
-- follow each other: a search of the index for each, not for each message. Ended
-- is when all runs ended that did (e), or 0: then e_times tells it of each. What
-- most commits do takes its values from the arrays by their place, which costs
-- half of an unnest of all.
--
-- Bodies are those of runs that change (a), new messages (m), new runs (r),
-- messages that change (u), and rows (was, new, put): one parameter, and the
-- first, since the client's buffer then grows least.
--
-- What was decided on and is not locked is verified; MR001 says that somebody
-- changed it. A message is still held by whom it was. With home, the commit was
-- decided on what a process knew of this store: then its worker must be there
-- (millrace_reap locks as here, and a shared lock of this kind writes nothing
-- to a row), and runs and rows must be those that the transactions with these ids wrote
-- (xmin; 0 is not verified). A row, run id or queue that was absent and is
-- there now violates a unique index. Absent rows and ids that were read and are
-- not made are made and removed, which keeps others from making them until the
-- commit ends. Locks are taken in the order in which millrace_load takes them, but
-- for rows, which are in the order of their keys within each statement only.
CREATE FUNCTION millrace_write(
    bodies bytea[], mark bigint, number bigint, home text, fence bigint, at bigint, fresh boolean, rare boolean,
    drops bigint, ended bigint, drop_firsts bigint[], drop_lasts bigint[], drop_workers bigint[], blind_seqs bigint[],
    m_seqs bigint[], m_runs bigint[], m_dues bigint[], m_workers bigint[], m_published bigint[],
    m_priorities bigint[], m_topics text[], m_names text[],
    u_seqs bigint[], u_runs bigint[], u_dues bigint[], u_workers bigint[], u_published bigint[],
    u_priorities bigint[], u_topics text[], u_names text[], u_expected bigint[],
    r_keys bigint[], r_ids text[], r_names text[], r_statuses bigint[], r_ended bigint[],
    a_keys bigint[], a_names text[], a_statuses bigint[], a_ended bigint[], a_marks integer[],
    new_kinds smallint[], new_owners text[], new_names text[], new_untils bigint[],
    put_kinds smallint[], put_owners text[], put_names text[], put_untils bigint[],
    was_kinds smallint[], was_owners text[], was_names text[], was_untils bigint[], was_marks integer[],
    cut_kinds smallint[], cut_owners text[], cut_names text[], cut_marks integer[],
    not_kinds smallint[], not_owners text[], not_names text[], not_keys bigint[], not_ids text[],
    q_topics text[], q_priorities bigint[], e_times bigint[], e_keys bigint[]
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
    n  bigint;
    a_ integer := coalesce(cardinality(a_keys), 0); -- where its bodies end
    m_ integer := a_ + coalesce(cardinality(m_seqs), 0);
    r_ integer := m_ + coalesce(cardinality(r_keys), 0);
    u_ integer := r_ + coalesce(cardinality(u_seqs), 0);
    w_ integer := u_ + coalesce(cardinality(was_kinds), 0);
    n_ integer := w_ + coalesce(cardinality(new_kinds), 0);
BEGIN
    IF fence <> 0 AND pg_advisory_xact_lock_shared(hashtext(home), (fence & 2147483647)::integer) IS NULL THEN
        RETURN ARRAY[0, 0, 0]; -- never
    END IF;
    IF mark <> 0 THEN
        UPDATE millrace_commits c SET number = millrace_write.number, at = millrace_now()
            WHERE c.mark = millrace_write.mark AND (fence = 0 OR EXISTS (SELECT FROM millrace_workers w WHERE w.key = fence));
        IF NOT FOUND THEN -- it is new, or the worker or the whole store is gone
            INSERT INTO millrace_commits (mark, number, at) SELECT mark, number, millrace_now()
                WHERE home = '' OR EXISTS (SELECT FROM millrace_meta t WHERE t.name = 'store' AND t.value = home)
                    AND (fence = 0 OR EXISTS (SELECT FROM millrace_workers w WHERE w.key = fence));
            IF NOT FOUND THEN
                RAISE EXCEPTION 'the worker is gone' USING ERRCODE = 'MR001';
            END IF;
        END IF;
    END IF;
    IF cardinality(a_keys) > 0 THEN
        UPDATE millrace_runs r SET name = a_names[u.i], status = a_statuses[u.i], ended = a_ended[u.i], body = bodies[u.i]
            FROM unnest(a_keys) WITH ORDINALITY AS u (key, i)
            WHERE r.key >= u.key AND r.key <= u.key AND (a_marks[u.i] = 0 OR r.xmin = a_marks[u.i]);
        GET DIAGNOSTICS n = ROW_COUNT;
        IF home <> '' AND n <> cardinality(a_keys) THEN
            RAISE EXCEPTION 'a run changed since it was read' USING ERRCODE = 'MR001';
        END IF;
    END IF;
    IF drops > 0 THEN
        DELETE FROM millrace_messages m USING unnest(drop_firsts) WITH ORDINALITY AS u (first, i)
            WHERE m.seq >= u.first AND m.seq <= drop_lasts[u.i] AND m.worker = drop_workers[u.i];
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> drops THEN
            RAISE EXCEPTION 'a message changed since it was read' USING ERRCODE = 'MR001';
        END IF;
    END IF;
    IF rare THEN
        IF cardinality(not_kinds) > 0 THEN
            INSERT INTO millrace_rows (kind, owner, name, until, body)
                SELECT u.kind, u.owner, u.name, 0, '' FROM unnest(not_kinds, not_owners, not_names) AS u (kind, owner, name)
                ORDER BY u.kind, u.owner, u.name;
            DELETE FROM millrace_rows r USING unnest(not_kinds, not_owners, not_names) AS u (kind, owner, name)
                WHERE r.kind = ANY (ARRAY[u.kind]) AND r.owner = u.owner AND r.name = u.name;
        END IF;
        IF cardinality(not_keys) > 0 THEN
            INSERT INTO millrace_runs (key, id, name, status, ended, body)
                SELECT u.key, u.id, '', 0, 0, '' FROM unnest(not_keys, not_ids) AS u (key, id) ORDER BY u.id;
            DELETE FROM millrace_runs r WHERE r.key = ANY (not_keys);
        END IF;
        IF cardinality(q_topics) > 0 THEN
            INSERT INTO millrace_queues (topic, priority)
                SELECT DISTINCT u.topic, u.priority::smallint FROM unnest(q_topics, q_priorities) AS u (topic, priority)
                ORDER BY 1, 2
                ON CONFLICT DO NOTHING;
        END IF;
        IF cardinality(blind_seqs) > 0 THEN
            DELETE FROM millrace_messages m WHERE m.seq = ANY (blind_seqs);
        END IF;
        IF cardinality(u_seqs) > 0 THEN
            WITH done AS (
                UPDATE millrace_messages m SET run = u.run, due = u.due, worker = u.worker, published = u.published,
                    priority = u.priority, topic = u.topic, name = u.name, body = u.body
                FROM unnest(u_seqs, u_runs, u_dues, u_workers, u_published, u_priorities, u_topics, u_names, bodies[r_ + 1:u_], u_expected)
                    AS u (seq, run, due, worker, published, priority, topic, name, body, expected)
                WHERE m.seq >= u.seq AND m.seq <= u.seq AND (u.expected IS NULL OR m.worker = u.expected)
                RETURNING u.expected
            )
            SELECT count(expected) INTO n FROM done;
            IF n <> (SELECT count(e) FROM unnest(u_expected) AS e) THEN
                RAISE EXCEPTION 'a message changed since it was read' USING ERRCODE = 'MR001';
            END IF;
        END IF;
        IF cardinality(cut_kinds) > 0 THEN
            WITH gone AS (
                DELETE FROM millrace_rows r USING unnest(cut_kinds, cut_owners, cut_names, cut_marks) AS u (kind, owner, name, mark)
                WHERE r.kind = ANY (ARRAY[u.kind]) AND r.owner = u.owner AND r.name = u.name AND (u.mark = 0 OR r.xmin = u.mark)
                RETURNING u.mark
            )
            SELECT count(*) INTO n FROM gone g WHERE g.mark <> 0;
            IF n <> (SELECT count(*) FROM unnest(cut_marks) AS c WHERE c <> 0) THEN
                RAISE EXCEPTION 'a row changed since it was read' USING ERRCODE = 'MR001';
            END IF;
        END IF;
        IF cardinality(new_kinds) > 0 THEN
            INSERT INTO millrace_rows (kind, owner, name, until, body)
                SELECT * FROM unnest(new_kinds, new_owners, new_names, new_untils, bodies[w_ + 1:n_]);
        END IF;
        IF cardinality(put_kinds) > 0 THEN
            INSERT INTO millrace_rows (kind, owner, name, until, body)
                SELECT * FROM unnest(put_kinds, put_owners, put_names, put_untils, bodies[n_ + 1:])
                ON CONFLICT (kind, owner, name) DO UPDATE SET until = excluded.until, body = excluded.body;
        END IF;
    END IF;
    IF cardinality(m_seqs) > 0 THEN
        INSERT INTO millrace_messages (seq, run, due, worker, published, priority, topic, name, body)
            SELECT m_seqs[i], m_runs[i], m_dues[i], m_workers[i], m_published[i], m_priorities[i], m_topics[i], m_names[i], bodies[a_ + i]
                FROM generate_series(1, m_ - a_) AS i;
    END IF;
    IF cardinality(r_keys) > 0 THEN
        INSERT INTO millrace_runs (key, id, name, status, ended, body)
            SELECT r_keys[i], r_ids[i], r_names[i], r_statuses[i], r_ended[i], bodies[m_ + i] FROM generate_series(1, r_ - m_) AS i;
    END IF;
    IF millrace_write.ended > 0 THEN
        INSERT INTO millrace_closed (at, keys) VALUES (millrace_write.ended, e_keys);
    ELSIF cardinality(e_keys) > 0 THEN -- not all at one time
        INSERT INTO millrace_closed (at, keys)
            SELECT u.moment, array_agg(u.key) FROM unnest(e_times, e_keys) AS u (moment, key) GROUP BY u.moment;
    END IF;
    IF cardinality(was_kinds) > 0 THEN
        UPDATE millrace_rows r SET until = was_untils[u.i], body = bodies[u_ + u.i]
            FROM unnest(was_kinds) WITH ORDINALITY AS u (kind, i)
            WHERE r.kind = ANY (ARRAY[u.kind]) AND r.owner = was_owners[u.i] AND r.name = was_names[u.i] AND r.xmin = was_marks[u.i];
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(was_kinds) THEN
            RAISE EXCEPTION 'a row changed since it was read' USING ERRCODE = 'MR001';
        END IF;
    END IF;
    RETURN ARRAY[txid_current(), coalesce(at, millrace_now()), CASE WHEN fresh THEN nextval('millrace_numbers') ELSE 0 END];
END
$$;

-- Gives free messages that are due to a worker: of topics, higher priority
-- first, then older; or those of a list. Where a queue's oldest message was
-- found before, the search begins there (floors); what lies below is found by
-- a search without floors. Others' grabs are not waited for. What has fallen
-- due is made ready, if it is not taken.
--
-- Parts: 0 now, alive, more (1) and made ready (2), next, horizon (a number that
-- is not new), microseconds of the search; 1 message, with the status of its run
-- instead of its worker; 2 oldest ready message that was found (0: none),
-- priority, topic.
CREATE FUNCTION millrace_grab(
    holder bigint, at bigint, wanted_topics text[], wanted_seqs bigint[], wanted bigint, bytes bigint,
    floor_topics text[], floor_priorities bigint[], floor_seqs bigint[]
) RETURNS TABLE (
    part smallint, n1 bigint, n2 bigint, n3 bigint, n4 bigint, n5 bigint, n6 bigint,
    t1 text, t2 text, body bytea
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    claims  boolean := coalesce(cardinality(wanted_seqs), 0) > 0;
    moment  bigint;
    horizon bigint := 0;
    more    bigint := 0;
    next    bigint := 0;
    q       record;
    c       record;
    below   bigint;
    rest    bigint;
    level   integer;
    floor   bigint;
    begun   timestamptz;
    took    bigint := 0;
    -- candidates, which are locked: they stay where they are
    places  tid[] := '{}';
    seqs    bigint[] := '{}';
    sizes   bigint[] := '{}';
    dues    bigint[] := '{}';
    ranks   bigint[] := '{}';
    chosen  tid[] := '{}';
    turned  bigint[] := '{}';
    size    bigint := 0;
BEGIN
    PERFORM FROM millrace_workers w WHERE w.key = holder FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 0::smallint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, NULL::text, NULL::text, NULL::bytea;
        RETURN;
    END IF;
    moment := coalesce(at, millrace_now());
    IF claims THEN
        SELECT coalesce(array_agg(s.place), '{}'), coalesce(array_agg(s.seq), '{}'), coalesce(array_agg(s.size), '{}'),
                coalesce(array_agg(0::bigint), '{}'), coalesce(array_agg(s.priority), '{}')
            INTO places, seqs, sizes, dues, ranks
            FROM (SELECT m.ctid AS place, m.seq, length(m.body)::bigint AS size, m.priority::bigint AS priority FROM millrace_messages m
                WHERE m.seq = ANY (wanted_seqs) AND m.worker = 0 AND (abs(m.due) <= moment OR m.published > 0)
                ORDER BY m.seq FOR UPDATE SKIP LOCKED) s;
    ELSE
        SELECT last_value INTO horizon FROM millrace_numbers;
        -- What waited and is due now, from the longest due on.
        FOR q IN SELECT DISTINCT u.topic FROM unnest(wanted_topics) AS u (topic) LOOP
            SELECT array_agg(s.place) AS places, array_agg(s.seq) AS seqs, array_agg(s.size) AS sizes,
                    array_agg(s.due) AS dues, array_agg(s.priority) AS ranks INTO c
                FROM (SELECT m.ctid AS place, m.seq, length(m.body)::bigint AS size, m.due, m.priority::bigint AS priority FROM millrace_messages m
                    WHERE m.topic = q.topic AND m.worker = 0 AND m.due > 0 AND m.due <= moment
                    ORDER BY m.topic, m.due LIMIT greatest(wanted, 1000) FOR UPDATE SKIP LOCKED) s;
            places := places || c.places; seqs := seqs || c.seqs; sizes := sizes || c.sizes; dues := dues || c.dues; ranks := ranks || c.ranks;
        END LOOP;
        -- What is ready, priority by priority, until there is enough.
        rest := wanted;
        begun := clock_timestamp();
        FOR q IN SELECT k.topic, k.priority FROM millrace_queues k
            WHERE k.topic = ANY (wanted_topics) ORDER BY k.priority DESC, k.topic
        LOOP
            IF level IS DISTINCT FROM q.priority THEN
                EXIT WHEN rest <= 0;
                level := q.priority;
                below := rest;
            END IF;
            SELECT coalesce(max(f.seq), 0) INTO floor FROM unnest(floor_topics, floor_priorities, floor_seqs) AS f (topic, priority, seq)
                WHERE f.topic = q.topic AND f.priority = q.priority;
            SELECT array_agg(s.place) AS places, array_agg(s.seq) AS seqs, array_agg(s.size) AS sizes,
                    array_agg(s.due) AS dues, array_agg(s.priority) AS ranks INTO c
                FROM (SELECT m.ctid AS place, m.seq, length(m.body)::bigint AS size, m.due, m.priority::bigint AS priority FROM millrace_messages m
                    WHERE m.topic = q.topic AND m.priority = q.priority AND m.worker = 0 AND m.due <= 0 AND m.seq >= floor
                    ORDER BY m.topic, m.priority, m.seq LIMIT below FOR UPDATE SKIP LOCKED) s;
            places := places || c.places; seqs := seqs || c.seqs; sizes := sizes || c.sizes; dues := dues || c.dues; ranks := ranks || c.ranks;
            rest := rest - coalesce(cardinality(c.seqs), 0);
            RETURN QUERY SELECT 2::smallint, coalesce(c.seqs[1], 0), q.priority::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, q.topic, NULL::text, NULL::bytea;
        END LOOP;
        took := (extract(epoch FROM clock_timestamp() - begun) * 1000000)::bigint;
    END IF;
    -- The most urgent within the limits, mostly all. What was ready and is not
    -- due any more, since the clock was set back, waits again.
    IF cardinality(seqs) <= wanted AND (bytes <= 0 OR bytes >= (SELECT sum(u) FROM unnest(sizes) AS u))
        AND moment >= (SELECT -min(u) FROM unnest(dues) AS u)
    THEN
        chosen := places;
    ELSE
        FOR c IN SELECT * FROM unnest(places, seqs, sizes, dues, ranks) AS u (place, seq, size, due, priority) ORDER BY u.priority DESC, u.seq LOOP
            IF -c.due > moment THEN
                turned := turned || c.seq;
            ELSIF cardinality(chosen) >= wanted OR (bytes > 0 AND size >= bytes AND cardinality(chosen) > 0) THEN
                more := 1;
                IF c.due > 0 THEN
                    turned := turned || c.seq;
                END IF;
            ELSE
                chosen := chosen || c.place;
                size := size + c.size;
            END IF;
        END LOOP;
    END IF;
    IF cardinality(chosen) >= wanted AND NOT claims THEN
        more := more | 1;
    END IF;
    IF cardinality(turned) > 0 THEN
        UPDATE millrace_messages m SET due = -m.due WHERE m.seq = ANY (turned);
        more := more | 2;
    END IF;
    IF cardinality(chosen) > 0 THEN
        RETURN QUERY UPDATE millrace_messages m SET worker = holder WHERE m.ctid = ANY (chosen)
            RETURNING 1::smallint, m.seq, m.run, m.due, m.priority::bigint, CASE WHEN m.run <> 0 THEN
                (SELECT r.status::bigint FROM millrace_runs r WHERE r.key = m.run) END,
                m.published::bigint, m.topic, m.name, m.body;
    END IF;
    IF NOT claims THEN
        SELECT coalesce(min(s.due), 0) INTO next FROM (SELECT DISTINCT u.topic FROM unnest(wanted_topics) AS u (topic)) t
            CROSS JOIN LATERAL (SELECT m.due FROM millrace_messages m
                WHERE m.topic = t.topic AND m.worker = 0 AND m.due > 0 AND m.due > moment AND m.due < 9223372036854775807
                ORDER BY m.topic, m.due LIMIT 1) s;
    END IF;
    RETURN QUERY SELECT 0::smallint, moment, 1::bigint, more, next, horizon, took, NULL::text, NULL::text, NULL::bytea;
END
$$;

-- Closes workers: those listed, and those whose lease ended before a time. Then
-- frees what unknown workers hold in a piece of the messages. Whoever holds a
-- message was registered before, and no key is given twice: so an unknown
-- worker stays unknown, whatever happens meanwhile.
--
-- A worker's commits under way are waited for before anything is locked that its
-- heartbeat needs; should it beat meanwhile, its lease has not expired. Each that
-- is to be closed costs a lock in the server's memory, so there are 256 of them
-- at most, and then no messages are freed yet.
--
-- Parts: 0 now, freed, next, how many were to be closed; 1 worker that was closed.
CREATE FUNCTION millrace_reap(
    at bigint, expired boolean, closing bigint[], behind bigint, pieces bigint
) RETURNS TABLE (
    part smallint, key bigint, host text, boot text, pidns text, pid bigint, born text, started bigint, until bigint
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    moment  bigint := coalesce(at, millrace_now());
    last    bigint;
    seen    bigint := 0;
    freed   bigint := 0;
    gone    bigint[];
    strays  bigint[];
BEGIN
    IF expired OR cardinality(closing) > 0 THEN
        gone := ARRAY(SELECT v.key FROM millrace_workers v
            WHERE v.key = ANY (closing) OR (expired AND v.until < moment) ORDER BY v.key LIMIT 256);
        PERFORM pg_advisory_xact_lock(hashtext(m.value), (g & 2147483647)::integer)
            FROM millrace_meta m, unnest(gone) AS g WHERE m.name = 'store';
        RETURN QUERY WITH closed AS (
            DELETE FROM millrace_workers w WHERE w.key IN (
                SELECT v.key FROM millrace_workers v
                WHERE v.key = ANY (gone) AND (v.key = ANY (closing) OR v.until < moment)
                ORDER BY v.key FOR UPDATE
            ) RETURNING w.*
        ) SELECT 1::smallint, c.key, c.host, c.boot, c.pidns, c.pid, c.born, c.started, c.until FROM closed c;
    END IF;
    IF pieces <= 0 OR cardinality(gone) >= 256 THEN
        RETURN QUERY SELECT 0::smallint, 0::bigint, '', '', '', coalesce(cardinality(gone), 0)::bigint, '', coalesce(at, millrace_now()), behind;
        RETURN;
    END IF;
    SELECT max(s.seq), count(*), array_agg(DISTINCT s.worker) FILTER (WHERE s.worker <> 0)
        INTO last, seen, strays
        FROM (SELECT m.seq, m.worker FROM millrace_messages m WHERE m.seq > behind ORDER BY m.seq LIMIT pieces) s;
    strays := ARRAY(SELECT s FROM unnest(strays) AS s WHERE NOT EXISTS (SELECT FROM millrace_workers w WHERE w.key = s));
    IF cardinality(strays) > 0 THEN
        UPDATE millrace_messages m SET worker = 0, due = CASE WHEN m.published > 0 THEN 0 ELSE m.due END
            WHERE m.seq > behind AND m.seq <= last AND m.worker = ANY (strays);
        GET DIAGNOSTICS freed = ROW_COUNT;
    END IF;
    RETURN QUERY SELECT 0::smallint, freed, '', '', '', 0::bigint, '', coalesce(at, millrace_now()),
        CASE WHEN seen = pieces THEN last ELSE 0 END;
END
$$;

-- Removes rows whose time has passed, then closed runs that ended before a
-- time with all rows that they own, and returns how many rows and runs. Num is
-- how numbers are written in the names of owners.
CREATE FUNCTION millrace_purge(at bigint, before bigint, most bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
    instant bigint := coalesce(at, millrace_now());
    gone    bigint;
    rest    bigint;
    found   record;
    closed  bigint[] := '{}';
    purged  bigint[];
    locked  bigint[];
    kind0   smallint := 0;
    num     text;
    n       bigint;
BEGIN
    DELETE FROM millrace_rows r WHERE r.ctid = ANY (ARRAY(
        SELECT s.ctid FROM millrace_rows s WHERE s.until > 0 AND s.until <= instant
        ORDER BY s.until LIMIT most FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM millrace_commits c WHERE c.ctid = ANY (ARRAY(
        SELECT o.ctid FROM millrace_commits o WHERE o.at < millrace_now() - 86400000000 LIMIT most FOR UPDATE SKIP LOCKED
    ));
    rest := most - gone;
    IF before <= 0 OR rest <= 0 THEN
        RETURN gone;
    END IF;
    FOR found IN
        SELECT c.ctid AS place, c.keys FROM millrace_closed c WHERE c.at < before
        ORDER BY c.at LIMIT rest FOR UPDATE SKIP LOCKED
    LOOP
        EXIT WHEN rest = 0;
        n := least(rest, cardinality(found.keys));
        closed := closed || found.keys[1:n];
        IF n < cardinality(found.keys) THEN
            UPDATE millrace_closed c SET keys = found.keys[n + 1:] WHERE c.ctid = found.place;
        ELSE
            DELETE FROM millrace_closed c WHERE c.ctid = found.place;
        END IF;
        rest := rest - n;
    END LOOP;
    purged := ARRAY(SELECT s.key FROM millrace_runs s WHERE s.key = ANY (closed) AND s.ended > 0 AND s.ended < before
        ORDER BY s.key FOR UPDATE SKIP LOCKED);
    DELETE FROM millrace_runs r WHERE r.key = ANY (purged);
    -- Those that somebody has locked are left for the next call.
    locked := ARRAY(SELECT s.key FROM millrace_runs s WHERE s.key = ANY (closed) AND s.ended > 0 AND s.ended < before);
    IF cardinality(locked) > 0 THEN
        INSERT INTO millrace_closed (at, keys) VALUES (before - 1, locked);
    END IF;
    gone := gone + cardinality(closed) - cardinality(locked);
    IF cardinality(purged) = 0 THEN
        RETURN gone;
    END IF;
    LOOP
        SELECT min(r.kind) INTO kind0 FROM millrace_rows r WHERE r.kind > kind0;
        EXIT WHEN kind0 IS NULL;
        FOREACH n IN ARRAY purged LOOP
            num := '';
            FOR i IN REVERSE 12 .. 0 LOOP
                num := num || substr('0123456789abcdefghijklmnopqrstuv', ((n >> (5 * i)) & 31)::integer + 1, 1);
            END LOOP;
            DELETE FROM millrace_rows r WHERE r.kind = kind0 AND r.owner = num;
            DELETE FROM millrace_rows r WHERE r.kind = kind0 AND r.owner >= num || '/' AND r.owner < num || '0';
        END LOOP;
    END LOOP;
    RETURN gone;
END
$$;
