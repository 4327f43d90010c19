-- The state of a room has the value of m.space.child, by which the trees of spaces are read: the time of the event,
-- whether the room is suggested (s or n), and the order. Owned by internal/rooms/timeline.

-- +goose Up

UPDATE room_state s SET value = child.ts || CASE WHEN child.content->'suggested' = 'true' THEN 's' ELSE 'n' END
    || CASE WHEN child.content->>'order' COLLATE "C" ~ '^[ -~]{1,50}$' AND jsonb_typeof(child.content->'order') = 'string'
        THEN child.content->>'order' ELSE '' END
FROM (
    SELECT e.event_nid, t.json->'content' AS content, t.json->>'origin_server_ts' AS ts
    FROM room_state c JOIN events e ON e.event_nid = c.event_nid
    -- A text with a NUL character cannot be read here, and one is no order and no server.
    CROSS JOIN LATERAL (SELECT replace(convert_from(e.json, 'UTF8'), '\u0000', '\u0001')::jsonb AS json) t
    WHERE c.type = 'm.space.child' AND c.state_key LIKE '!_%' AND octet_length(c.state_key) <= 255) child
WHERE s.type = 'm.space.child' AND s.event_nid = child.event_nid AND child.ts ~ '^[0-9]+$'
    AND CASE WHEN jsonb_typeof(child.content->'via') = 'array' THEN jsonb_array_length(child.content->'via') > 0
        AND NOT EXISTS (SELECT FROM jsonb_array_elements(child.content->'via') v WHERE jsonb_typeof(v) <> 'string') END;
