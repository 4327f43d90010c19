-- +goose Up

-- What events relate to: a row for each event that has a relation and is not redacted. Its content says the same; the
-- rows are for finding the children of an event. target_id may be an event that is not here. Owned by internal/rooms.
--   edited_at   is the origin_server_ts of an m.replace that can replace the content of its target, if sender and
--               type are the same: it is no state event, and has m.new_content or is encrypted. NULL for all others.
--   annotation  stands for sender, type and key of an m.annotation, which nobody sends twice. NULL for all others,
--               and for those that are here twice already.
CREATE TABLE relations (
    room_nid   bigint NOT NULL,
    target_id  text NOT NULL,
    place      bigint NOT NULL,
    event_nid  bigint NOT NULL,
    event_id   text NOT NULL,
    rel_type   text NOT NULL,
    type       text NOT NULL,
    sender     text NOT NULL,
    is_state   boolean NOT NULL,
    edited_at  bigint,
    annotation bytea,
    PRIMARY KEY (room_nid, target_id, place)
);

-- The threads of rooms, by their roots, which may not be here either: how many replies each has, and the place of the
-- latest. They follow from the rows of m.thread. Owned by internal/rooms.
CREATE TABLE threads (
    room_nid   bigint NOT NULL,
    root_id    text NOT NULL,
    last_place bigint NOT NULL,
    replies    bigint NOT NULL,
    PRIMARY KEY (room_nid, root_id)
) WITH (fillfactor = 90);

-- Returns the content of an event with a relation, and the time of the event: NULL for an event without one, and for
-- one that cannot be read. PostgreSQL's JSON knows no NUL; what holds one is no relation.
-- +goose StatementBegin
CREATE FUNCTION related_content(json bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    event jsonb;
    relates jsonb;
BEGIN
    event := replace(convert_from(json, 'UTF8'), '\u0000', '\uffff')::jsonb;
    relates := event -> 'content' -> 'm.relates_to';
    IF jsonb_typeof(relates -> 'rel_type') IS DISTINCT FROM 'string' OR jsonb_typeof(relates -> 'event_id') IS DISTINCT FROM 'string'
        OR octet_length(relates ->> 'rel_type') NOT BETWEEN 1 AND 255 OR octet_length(relates ->> 'event_id') NOT BETWEEN 1 AND 255
        OR position(U&'\FFFF' IN (relates ->> 'rel_type') || (relates ->> 'event_id')) > 0 THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('relates', relates, 'ts', (event ->> 'origin_server_ts')::bigint,
        'edits', jsonb_typeof(event -> 'content' -> 'm.new_content') IS NOT DISTINCT FROM 'object');
EXCEPTION WHEN others THEN
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- All events are read once.
INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state, edited_at, annotation)
SELECT room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state,
    CASE WHEN rel_type = 'm.replace' AND NOT is_state AND (edits OR type = 'm.room.encrypted') THEN ts END,
    CASE WHEN row_number() OVER (PARTITION BY room_nid, target_id, annotation ORDER BY place) = 1 THEN annotation END
FROM (
    SELECT e.room_nid, c.about -> 'relates' ->> 'event_id' AS target_id, e.place, e.event_nid, e.event_id,
        c.about -> 'relates' ->> 'rel_type' AS rel_type, e.type, e.sender, e.state_key IS NOT NULL AS is_state,
        (c.about ->> 'edits')::boolean AS edits, (c.about ->> 'ts')::bigint AS ts,
        CASE WHEN c.about -> 'relates' ->> 'rel_type' = 'm.annotation' AND jsonb_typeof(c.about -> 'relates' -> 'key') = 'string'
            AND position(U&'\FFFF' IN c.about -> 'relates' ->> 'key') = 0 THEN
            substring(sha256(sha256(convert_to(e.sender, 'UTF8')) || sha256(convert_to(e.type, 'UTF8'))
                || sha256(convert_to(c.about -> 'relates' ->> 'key', 'UTF8'))) FOR 16) END AS annotation
    FROM (
        SELECT * FROM events
        WHERE position('"m.relates_to"'::bytea IN json) > 0 AND redacted_by IS NULL AND place IS NOT NULL
        OFFSET 0) e
    CROSS JOIN LATERAL (SELECT related_content(e.json) AS about OFFSET 0) c
    WHERE c.about IS NOT NULL) e
ON CONFLICT DO NOTHING;

INSERT INTO threads (room_nid, root_id, last_place, replies)
SELECT room_nid, target_id, max(place), count(*) FROM relations WHERE rel_type = 'm.thread' GROUP BY room_nid, target_id;

DROP FUNCTION related_content(bytea);

-- The children of an event are found by the primary key, the newest first; these are for those of one type, for the
-- latest edit, for who takes part in a thread, and against sending a reaction twice.
CREATE INDEX relations_type ON relations (room_nid, target_id, rel_type, place);
CREATE INDEX relations_edits ON relations (room_nid, target_id, sender, type, edited_at, event_id COLLATE "C") WHERE edited_at IS NOT NULL;
CREATE INDEX relations_participants ON relations (room_nid, target_id, sender) WHERE rel_type = 'm.thread';
CREATE UNIQUE INDEX relations_annotations ON relations (room_nid, target_id, annotation) WHERE annotation IS NOT NULL;
CREATE INDEX threads_latest ON threads (room_nid, last_place);
