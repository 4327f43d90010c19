-- +goose Up

-- An event has an identity, at most one position in the journal, a place in its room, and a status: four meanings,
-- which were one number until now. What was live when it was first written has its position as its identity, so no
-- reference changes. Owned by internal/rooms.
--
-- A place is a position with 1024 places up to it, of which the last is the event's own: history that is learnt of
-- later gets those in between.
DROP INDEX events_room;
ALTER TABLE events RENAME COLUMN position TO event_nid;
-- All that is ever to come is added at once, since the table is written anew for it. It is NULL for the events of
-- rooms that no other server is in.
--   status     0 is live.
--   base       is the place whose state is the state before the event, where that is not the state just before it;
--   branch     is what differs from that.
--   auth_nids  are the auth events of a state event.
ALTER TABLE events
    ADD COLUMN position bigint GENERATED ALWAYS AS (event_nid) STORED,
    ADD COLUMN place bigint GENERATED ALWAYS AS (event_nid * 1024) STORED,
    ADD COLUMN status smallint NOT NULL DEFAULT 0,
    ADD COLUMN base bigint,
    ADD COLUMN branch bigint,
    ADD COLUMN auth_nids bigint[];
ALTER TABLE events ALTER COLUMN position DROP EXPRESSION, ALTER COLUMN place DROP EXPRESSION;
CREATE INDEX events_place ON events (room_nid, place) WHERE place IS NOT NULL;
-- Mostly the primary key finds events by their position, too.
CREATE INDEX events_position ON events (position) WHERE position <> event_nid;

-- An entry holds from its place until just before replaced_at. event_nid is the event that holds, which may be older
-- or stand in no timeline; NULL: nothing holds, or, where it is not known, what holds is not known.
DROP INDEX room_state_replaced;
DROP INDEX room_state_changes;
DROP INDEX room_state_of_user;
DROP INDEX room_state_members;
ALTER TABLE room_state RENAME COLUMN position TO event_nid;
ALTER TABLE room_state
    DROP CONSTRAINT room_state_pkey,
    ADD COLUMN place bigint GENERATED ALWAYS AS (event_nid * 1024) STORED,
    ADD COLUMN known boolean NOT NULL DEFAULT true,
    ALTER COLUMN event_nid DROP NOT NULL,
    ALTER COLUMN replaced_at TYPE bigint USING replaced_at * 1024;
ALTER TABLE room_state ALTER COLUMN place DROP EXPRESSION, ADD PRIMARY KEY (room_nid, type, state_key, place);
CREATE INDEX room_state_replaced ON room_state (room_nid, replaced_at) WHERE replaced_at IS NOT NULL;
CREATE INDEX room_state_changes ON room_state (room_nid, place);
CREATE INDEX room_state_of_user ON room_state (state_key, place) WHERE type = 'm.room.member';
CREATE INDEX room_state_members ON room_state (room_nid, value, place)
    WHERE type = 'm.room.member' AND replaced_at IS NULL;

-- The events that nothing is built on yet. A writer states the turn that it built in, and its transaction fails if
-- another has come since.
ALTER TABLE rooms ADD COLUMN heads text[] NOT NULL DEFAULT '{}', ADD COLUMN turn bigint NOT NULL DEFAULT 0;
UPDATE rooms SET heads = ARRAY[head_event_id] WHERE head_event_id <> '';
ALTER TABLE rooms DROP COLUMN head_event_id, ALTER COLUMN heads DROP DEFAULT;

-- How far users have read is a place. Owned by internal/personal/receipts.
ALTER TABLE receipts RENAME COLUMN event_position TO event_place;
ALTER TABLE receipts ALTER COLUMN event_place TYPE bigint USING event_place * 1024;

-- Owned by internal/personal/search.
ALTER TABLE search_index RENAME COLUMN position TO event_nid;
ALTER TABLE search_index ADD COLUMN place bigint GENERATED ALWAYS AS (event_nid * 1024) STORED;
ALTER TABLE search_index ALTER COLUMN place DROP EXPRESSION, ALTER COLUMN place SET NOT NULL;
