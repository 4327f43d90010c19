-- PostgreSQL plans by what it believes of rooms from the first statement on. Owned by internal/rooms/timeline,
-- internal/personal/receipts and internal/personal/search.

-- +goose Up

-- An event is found by its time where time is asked for, and by no other statement that names a room: for those PostgreSQL
-- might have taken this index, as long as it knew of few events.
DROP INDEX events_time;
CREATE INDEX events_time ON events (room_nid, (coalesce(origin_server_ts, origin_server_ts_in(json))))
    WHERE coalesce(origin_server_ts, origin_server_ts_in(json)) IS NOT NULL;

-- 1000 rows in each room: far more than one, so that an entry is looked up by all that is known of it, more than a page of
-- a timeline, so that it is read in its order, and far fewer than all, so that no table is read for the sake of a room. A
-- negative number is a share of the rows: with 0.05, which was here before, a room was 20 of them.
ALTER TABLE events ALTER COLUMN room_nid SET (n_distinct = -0.001);
ALTER TABLE room_state ALTER COLUMN room_nid SET (n_distinct = -0.001);
ALTER TABLE relations ALTER COLUMN room_nid SET (n_distinct = -0.001);
ALTER TABLE threads ALTER COLUMN room_nid SET (n_distinct = -0.001);
ALTER TABLE receipts ALTER COLUMN room_nid SET (n_distinct = -0.001);
ALTER TABLE search_index ALTER COLUMN room_nid SET (n_distinct = -0.001);

-- It takes effect with the next statistics. In a new database they are those of a row that is gone again: of a table that
-- it has found empty PostgreSQL would believe that it stays empty.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM events) THEN
        ANALYZE events, room_state, relations, threads, receipts, search_index;
        RETURN;
    END IF;
    INSERT INTO events (event_nid, room_nid, event_id, type, sender, json, has_url) VALUES (0, 0, '', '', '', '', false);
    INSERT INTO room_state (room_nid, type, state_key, place) VALUES (0, '', '', 0);
    INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state)
    VALUES (0, '', 0, 0, '', '', '', '', false);
    INSERT INTO threads (room_nid, root_id, last_place, replies) VALUES (0, '', 0, 0);
    INSERT INTO receipts (room_nid, user_id, type, thread_id, event_id, event_place, ts, position) VALUES (0, '', '', '', '', 0, 0, 0);
    INSERT INTO search_index (event_nid, room_nid, sender, key, has_url, words, place) VALUES (0, 0, '', '', false, '', 0);
    ANALYZE events (room_nid), room_state (room_nid), relations (room_nid), threads (room_nid), receipts (room_nid), search_index (room_nid);
    TRUNCATE events, room_state, relations, threads, receipts, search_index;
END
$$;
-- +goose StatementEnd
