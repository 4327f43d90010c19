-- How many rooms PostgreSQL believes in where it plans. It guesses that from a sample, which finds one room where few are
-- busy, or where there was one when the sample was taken; then it believes that each room has all there is, and that
-- reading a whole table takes no longer than reading a room. Owned by internal/rooms/timeline, internal/personal/receipts
-- and internal/personal/search.

-- +goose Up

-- A negative number is a share of the rows: 0.05 is 20 rows in each room, however many there are.
ALTER TABLE events ALTER COLUMN room_nid SET (n_distinct = -0.05);
ALTER TABLE room_state ALTER COLUMN room_nid SET (n_distinct = -0.05);
ALTER TABLE relations ALTER COLUMN room_nid SET (n_distinct = -0.05);
ALTER TABLE threads ALTER COLUMN room_nid SET (n_distinct = -0.05);
ALTER TABLE receipts ALTER COLUMN room_nid SET (n_distinct = -0.05);
ALTER TABLE search_index ALTER COLUMN room_nid SET (n_distinct = -0.05);

-- It takes effect with the next statistics. A new database gets its first ones when there is something in it: PostgreSQL
-- plans better for tables that it has never looked at than for those that it has found empty.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM events) THEN
        ANALYZE events, room_state, relations, threads, receipts, search_index;
    END IF;
END
$$;
-- +goose StatementEnd
