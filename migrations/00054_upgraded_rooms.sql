-- The state of a room has the value of m.room.tombstone, the ID of the room that replaces it, by which the settings of
-- members follow them there. Owned by internal/rooms/timeline.

-- +goose Up

UPDATE room_state s SET value = tombstone.replacement
FROM (
    SELECT e.event_nid, t.json->'content'->>'replacement_room' AS replacement
    FROM room_state c JOIN events e ON e.event_nid = c.event_nid
    -- A text with a NUL character cannot be read here, and one is no room ID.
    CROSS JOIN LATERAL (SELECT replace(convert_from(e.json, 'UTF8'), '\u0000', '\u0001')::jsonb AS json) t
    WHERE c.type = 'm.room.tombstone' AND jsonb_typeof(t.json->'content'->'replacement_room') = 'string') tombstone
WHERE s.type = 'm.room.tombstone' AND s.event_nid = tombstone.event_nid
    AND tombstone.replacement LIKE '!_%' AND octet_length(tombstone.replacement) <= 255 AND strpos(tombstone.replacement, E'\x01') = 0;

CREATE INDEX room_state_tombstones ON room_state (value)
    WHERE type = 'm.room.tombstone' AND state_key = '' AND replaced_at IS NULL AND value IS NOT NULL;

-- Who joined before keeps the settings as they are.
INSERT INTO followers (name, position) SELECT 'upgraded_rooms', position FROM journal;
