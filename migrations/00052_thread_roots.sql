-- +goose Up

-- The roots of threads, so that the threads of a room are listed without a look at its events: NULL while the root is
-- not here. Owned by internal/rooms.
ALTER TABLE threads ADD COLUMN root_nid bigint, ADD COLUMN root_place bigint, ADD COLUMN root_sender text;
UPDATE threads t SET root_nid = e.event_nid, root_place = e.place, root_sender = e.sender
FROM events e WHERE e.event_id = t.root_id AND e.room_nid = t.room_nid;
CREATE INDEX threads_of_sender ON threads (room_nid, root_sender, last_place);

-- It also finds the threads that a user takes part in.
DROP INDEX relations_participants;
CREATE INDEX relations_participants ON relations (room_nid, sender, target_id) WHERE rel_type = 'm.thread';
