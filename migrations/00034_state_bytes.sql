-- The size of the current state of rooms, which has a bound. Owned by internal/rooms.

-- +goose Up

-- In bytes: that of each event in canonical JSON, and 1024 besides. Memberships of up
-- to 8192 bytes do not count, so that anybody can come and go.
ALTER TABLE rooms ADD COLUMN state_bytes bigint NOT NULL DEFAULT 0;

UPDATE rooms r SET state_bytes = n.bytes
FROM (
    SELECT s.room_nid, sum(octet_length(e.json) + 1024) AS bytes
    FROM room_state s JOIN events e ON e.position = s.position
    WHERE s.replaced_at IS NULL AND NOT (e.type = 'm.room.member' AND octet_length(e.json) <= 8192)
    GROUP BY s.room_nid) n
WHERE n.room_nid = r.room_nid;

-- +goose Down

ALTER TABLE rooms DROP COLUMN state_bytes;
