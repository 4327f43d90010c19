-- +goose Up

-- What the directory of rooms shows of their state is kept beside membership and
-- history visibility, here of the state that there is already. A text with a NUL
-- character cannot be kept, and the JSON that holds one cannot be read here.
UPDATE room_state s SET value = nullif(content.value #>> content.path, '')
FROM (
    SELECT e.position, p.path, CASE WHEN strpos(t.json, '\u0000') = 0 THEN t.json::jsonb END AS value
    FROM events e
    JOIN (VALUES
        ('m.room.create', '{content,type}'::text[]), ('m.room.join_rules', '{content,join_rule}'),
        ('m.room.avatar', '{content,url}'), ('m.room.canonical_alias', '{content,alias}'),
        ('m.room.guest_access', '{content,guest_access}'), ('m.room.name', '{content,name}'),
        ('m.room.topic', '{content,topic}')) AS p(type, path) ON p.type = e.type
    CROSS JOIN LATERAL (SELECT convert_from(e.json, 'UTF8') AS json) t
    WHERE e.state_key IS NOT NULL) content
WHERE s.position = content.position AND s.value IS NULL AND jsonb_typeof(content.value #> content.path) = 'string';

DROP INDEX rooms_listed;
CREATE INDEX rooms_listed ON rooms (joined_members DESC, room_nid) WHERE listed AND joined_members > 0;

-- Whom people can find, as texts to compare with: name is the display name, words
-- its words and those of the user ID, each with a space before it. Owned by
-- internal/userdirectory.
CREATE TABLE user_directory (
    user_id   text PRIMARY KEY,
    localpart text NOT NULL,
    name      text NOT NULL,
    words     text NOT NULL
);
